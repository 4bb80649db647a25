#include "model/time_mixers/rad_rwkv6.h"

#include <torch/types.h>

#include <cmath>
#include <cstring>

#include "base/parallel_for.h"
#include "kernels/rope/rope.h"
#include "kernels/rwkv6_prepare/rwkv6_prepare_cpu.h"
#include "kernels/token_shift/token_shift.h"
#include "kernels/token_shift/token_shift_cpu.h"
#include "kernels/wkv6/wkv6_op.h"

namespace radlads {
namespace {

// The recurrence never sees a decay stronger than e^-5, as RADLADS.
constexpr double kMinLogDecay = -5;
constexpr std::array<const char*, 5> kShiftNames = {"time_maa_r", "time_maa_k", "time_maa_v", "time_maa_w",
                                                    "time_maa_g"};

}  // namespace

RadRwkv6::RadRwkv6(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan)
    : AttentionProjections(config, sizes), config_(config), plan_(plan) {
  const int64_t width = sizes.width, attention = sizes.attention;
  if (config.use_tokenshift()) {
    maa_x_ = register_parameter("time_maa_x", torch::empty({1, 1, width}));
    for (size_t i = 0; i < maa_.size(); ++i) maa_[i] = register_parameter(kShiftNames[i], torch::empty({1, 1, width}));
    maa_w1_ = register_parameter("time_maa_w1", torch::empty({width, 5 * sizes.rank_tokenshift}));
    maa_w2_ = register_parameter("time_maa_w2", torch::empty({5, sizes.rank_tokenshift, width}));
  }
  decay_ = register_parameter("time_decay", torch::empty({1, 1, attention}));
  decay_w1_ = register_parameter("time_decay_w1", torch::empty({width, sizes.rank_decay}));
  decay_w2_ = register_parameter("time_decay_w2", torch::empty({sizes.rank_decay, attention}));
  head_output_ = std::make_shared<HeadOutput>(*this, config, sizes);
}

std::array<Tensor, 5> RadRwkv6::ShiftTokens(const Tensor& x, const MixContext& context, LayerState* state) const {
  if (!config_.use_tokenshift()) return {x, x, x, x, x};
  const int64_t batch = x.size(0), time = x.size(1), width = x.size(2);
  const Tensor before = TakeCarried(state, "shift").value_or(Tensor());
  if (state != nullptr) state->tensors["shift"] = x.select(1, time - 1).detach().clone();

  const Tensor mixed = TokenShift(x, before, context.reset, maa_x_.view({1, width}), /*amounts=*/Tensor())[0];
  Tensor low = at::tanh(Project(mixed, maa_w1_));         // [B,T,5R]
  low = low.view({batch * time, 5, -1}).transpose(0, 1);  // [5,BT,R]
  const Tensor amounts = Project(low, maa_w2_).view({5, batch, time, width});
  const Tensor maa = at::cat(at::TensorList(maa_), 0).view({5, width});
  const std::vector<Tensor> shifted = TokenShift(x, before, context.reset, maa, amounts);
  return {shifted[0], shifted[1], shifted[2], shifted[3], shifted[4]};
}

Tensor RadRwkv6::Forward(const Tensor& x, MixContext& context, LayerState* state) {
  std::optional<Tensor> initial = TakeCarried(state, "wkv");
  const auto [xr, xk, xv, xw, xg] = ShiftTokens(x, context, state);
  Tensor q = Queries(xr), k = Keys(xk), v = Values(xv);
  if (config_.use_pos_emb()) {
    q = Rope(q, context.cos, context.sin);
    k = Rope(k, context.cos, context.sin);
  }
  const auto wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  Tensor decay = decay_.to(wide) + Project(at::tanh(Project(xw, decay_w1_)), decay_w2_).to(wide);
  Tensor log_w =
      at::clamp_min(-at::exp(decay), kMinLogDecay).view({x.size(0), x.size(1), sizes_.heads, sizes_.head_dim});
  k = ExpandKeyValueHeads(k, sizes_.heads).to(wide);
  v = ExpandKeyValueHeads(v, sizes_.heads).to(wide);
  if (config_.balance_state()) k = k * (1 - at::exp(log_w));

  const double scale = 1 / std::sqrt(static_cast<double>(sizes_.head_dim));
  auto [o, final_state] = Wkv6(q.to(wide), log_w, k, v, scale, std::move(initial), ResetOf(context));
  if (state != nullptr) state->tensors["wkv"] = final_state.detach();
  return Output(head_output_->Forward(o, xg, /*scale=*/1));
}

void RadRwkv6::InitializeFrom(const SoftmaxAttention* teacher) {
  torch::NoGradGuard no_grad;
  InitializeProjections(teacher, config_.reinit_att());
  if (config_.use_tokenshift()) {
    // Starts as the identity: nothing of the token before.
    maa_x_.fill_(1);
    for (Tensor& maa : maa_) maa.zero_();
    maa_w1_.zero_();
    maa_w2_.uniform_(-0.01, 0.01);
  }
  const int64_t layers = config_.n_layer(), channels = sizes_.attention;
  const double depth = layers > 1 ? static_cast<double>(plan_.layer) / (layers - 1) : 0;
  Tensor n = at::arange(channels, at::kDouble) / std::max<int64_t>(channels - 1, 1);
  decay_.copy_((-6 + 5 * at::pow(n, 0.7 + 1.3 * depth)).view({1, 1, -1}));
  decay_w1_.zero_();
  decay_w2_.uniform_(-0.01, 0.01);
  head_output_->Initialize();
}

void RadRwkv6::SetForInference() {
  AttentionProjections::SetForInference();
  for (Tensor* matrix : {&decay_w1_, &decay_w2_}) SetProjectionForInference(*matrix);
  if (config_.use_tokenshift()) {
    for (Tensor* matrix : {&maa_w1_, &maa_w2_}) SetProjectionForInference(*matrix);
    const int64_t rank = maa_w2_.size(1);
    shift_.clear();
    for (int64_t i = 0; i < 5; ++i) shift_.emplace_back(maa_w1_.narrow(1, i * rank, rank), maa_w2_[i]);
    maa_x_floats_ = InferenceVector(maa_x_);
    maa_floats_ = InferenceVector(at::cat(at::TensorList(maa_), 0));
  }
  low_decay_.emplace(decay_w1_, decay_w2_);
  decay_floats_ = InferenceVector(decay_);
  head_output_->SetForInference();
}

void RadRwkv6::MakeRoom(int64_t batch, int64_t, at::ScalarType dtype, LayerState* state) const {
  Tensor& wkv = state->tensors["wkv"];
  wkv = OwnState(wkv, {batch, sizes_.heads, sizes_.head_dim, sizes_.head_dim}, at::kFloat);
  if (!config_.use_tokenshift()) return;
  Tensor& shift = state->tensors["shift"];
  shift = OwnState(shift, {batch, sizes_.width}, dtype);
}

void RadRwkv6::InferShift(const InferencePass& pass, const void* x, Tensor& before,
                          const std::array<void*, 5>& shifted) const {
  const int64_t width = sizes_.width, rows = pass.rows();
  const SharedMemory previous(pass.batch * width * sizeof(float));
  const SharedMemory mixed(pass.Bytes(width)), amounts(5 * pass.Bytes(width)), low(5 * pass.Bytes(shift_[0].rank()));
  char* const carried = static_cast<char*>(before.mutable_data_ptr());
  TokenShiftArguments shift = {.batch = pass.batch,
                               .time = pass.time,
                               .width = width,
                               .mixes = 1,
                               .x = x,
                               .previous = previous.floats(),
                               .reset = nullptr,
                               .maa = Floats(maa_x_floats_),
                               .amounts = nullptr,
                               .bf16 = pass.bf16};
  void* const one[] = {mixed.data()};
  pass.RunRows([&] {
    ParallelFor(pass.batch * width, 8192, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        previous.floats()[i] = pass.bf16 ? static_cast<float>(reinterpret_cast<const c10::BFloat16*>(carried)[i])
                                         : reinterpret_cast<const float*>(carried)[i];
      }
    });
    TokenShiftForwardCpu(shift, one);
  });
  std::vector<LinearProduct> down, up;
  for (int64_t i = 0; i < 5; ++i) {
    char* const low_i = static_cast<char*>(low.data()) + i * pass.Bytes(shift_[i].rank());
    down.push_back(shift_[i].Down(pass, mixed.data(), low_i, LinearActivation::kTanh));
    up.push_back(shift_[i].Up(pass, low_i, static_cast<char*>(amounts.data()) + i * pass.Bytes(width)));
  }
  QuantizedLinears(down, rows, pass.bf16);
  QuantizedLinears(up, rows, pass.bf16);
  shift.mixes = 5;
  shift.maa = Floats(maa_floats_);
  shift.amounts = amounts.data();
  const int64_t row_bytes = width * (pass.bf16 ? 2 : 4);
  pass.RunRows([&] {
    TokenShiftForwardCpu(shift, shifted.data());
    ParallelFor(pass.batch, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        const char* const row = static_cast<const char*>(x) + ((b + 1) * pass.time - 1) * row_bytes;
        std::memcpy(carried + b * row_bytes, row, row_bytes);
      }
    });
  });
}

void RadRwkv6::Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const {
  const int64_t rows = pass.rows(), width = sizes_.attention, kv_width = sizes_.kv_heads * sizes_.head_dim;
  const SharedMemory inputs(config_.use_tokenshift() ? 5 * pass.Bytes(sizes_.width) : 0);
  std::array<const void*, 5> in;  // r, k, v, w, g
  in.fill(x);
  if (config_.use_tokenshift()) {
    std::array<void*, 5> shifted;
    for (int64_t i = 0; i < 5; ++i) in[i] = shifted[i] = static_cast<char*>(inputs.data()) + i * pass.Bytes(sizes_.width);
    InferShift(pass, x, state->tensors.at("shift"), shifted);
  }
  const SharedMemory q(pass.Bytes(width)), k(pass.Bytes(kv_width)), v(pass.Bytes(kv_width)), decay(pass.Bytes(width)),
      gate(pass.Bytes(width));
  const SharedMemory low(pass.Bytes(low_decay_->rank())), low_gate(pass.Bytes(head_output_->gate_rank()));
  std::vector<LinearProduct> products = ProjectionProducts(pass, {in[0], in[1], in[2]}, {q.data(), k.data(), v.data()});
  products.push_back(low_decay_->Down(pass, in[3], low.data(), LinearActivation::kTanh));
  std::vector<LinearProduct> up = {low_decay_->Up(pass, low.data(), decay.data())};
  head_output_->AddGateProducts(pass, in[4], low_gate.data(), gate.data(), &products, &up);
  QuantizedLinears(products, rows, pass.bf16);
  QuantizedLinears(up, rows, pass.bf16);

  const size_t wide = rows * width * sizeof(float);
  const SharedMemory log_w(wide), keys(wide), values(wide), o(wide);
  pass.RunRows([&] {
    NormHeads(pass, q.data(), k.data());
    if (config_.use_pos_emb()) RotateHeads(pass, q.data(), k.data());
    Rwkv6PrepareForwardCpu({.rows = rows,
                            .heads = sizes_.heads,
                            .kv_heads = sizes_.kv_heads,
                            .head_dim = sizes_.head_dim,
                            .bf16 = pass.bf16,
                            .balance_state = config_.balance_state() != 0,
                            .k = k.data(),
                            .v = v.data(),
                            .low = decay.data(),
                            .w0 = Floats(decay_floats_)},
                           {.log_w = log_w.floats(), .k = keys.floats(), .v = values.floats()});
  });
  InferRecurrence(pass, sizes_,
                  {.r = q.data(),
                   .r_bf16 = pass.bf16,
                   .log_w = log_w.floats(),
                   .k = keys.floats(),
                   .v = values.floats(),
                   .a = nullptr,
                   .b = nullptr,
                   .scale = 1 / std::sqrt(static_cast<double>(sizes_.head_dim))},
                  state->tensors.at("wkv"), o.floats());
  head_output_->Infer(pass, o.floats(), gate.data(), /*scale=*/1, q.data());
  AddOutput(pass, q.data(), residual);
}

}  // namespace radlads
