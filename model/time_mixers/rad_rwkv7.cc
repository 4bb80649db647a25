#include "model/time_mixers/rad_rwkv7.h"

#include <torch/types.h>

#include <cmath>

#include "base/parallel_for.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cpu.h"
#include "kernels/wkv7/wkv7_op.h"

namespace radlads {

RadRwkv7::RadRwkv7(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan)
    : AttentionProjections(config, sizes), config_(config), plan_(plan) {
  const int64_t width = sizes.width, attention = sizes.attention;
  auto low_rank = [&](const char* name, int64_t rank, Tensor& bias, Tensor& down, Tensor& up) {
    bias = register_parameter(std::string(name) + "0", torch::empty({1, 1, attention}));
    down = register_parameter(std::string(name) + "1", torch::empty({width, rank}));
    up = register_parameter(std::string(name) + "2", torch::empty({rank, attention}));
  };
  low_rank("w", sizes.rank_decay, w0_, w1_, w2_);
  low_rank("a", sizes.rank_iclr, a0_, a1_, a2_);
  low_rank("v", sizes.rank_value, v0_, v1_, v2_);
  k_k_ = register_parameter("k_k", torch::empty({1, 1, attention}));
  k_a_ = register_parameter("k_a", torch::empty({1, 1, attention}));
  r_k_ = register_parameter("r_k", torch::empty({sizes.heads, sizes.head_dim}));
  head_output_ = std::make_shared<HeadOutput>(*this, config, sizes);
}

Tensor RadRwkv7::Forward(const Tensor& x, MixContext& context, LayerState* state) {
  Rwkv7Logits logits;
  logits.q = Queries(x);
  logits.k = Keys(x);
  logits.v = Values(x);
  logits.w = Project(at::tanh(Project(x, w1_)), w2_);
  logits.a = Project(Project(x, a1_), a2_);
  if (!plan_.first_of_kind) {
    logits.v_mix = Project(Project(x, v1_), v2_);
    logits.v_first = context.v_first;
  }
  const bool rotary = config_.use_pos_emb();
  Rwkv7Operands operands = Rwkv7Prepare(logits, {w0_, a0_, v0_, k_k_, k_a_}, rotary ? context.cos : Tensor(),
                                        rotary ? context.sin : Tensor(), config_.balance_state());
  if (plan_.first_of_kind) context.v_first = operands.v;

  auto [o, final_state] = Wkv7(operands.r, operands.log_w, operands.k, operands.v, operands.a, operands.b, /*scale=*/1,
                               TakeCarried(state, "wkv"), ResetOf(context));
  if (state != nullptr) state->tensors["wkv"] = final_state.detach();
  return Output(head_output_->Forward(o, x, 1 / std::sqrt(static_cast<double>(sizes_.head_dim))));
}

void RadRwkv7::InitializeFrom(const SoftmaxAttention* teacher) {
  torch::NoGradGuard no_grad;
  InitializeProjections(teacher, config_.reinit_att());
  const int64_t layers = config_.n_layer(), channels = sizes_.attention;
  const double depth = layers > 1 ? static_cast<double>(plan_.layer) / (layers - 1) : 0;
  Tensor n = at::arange(channels, at::kDouble) / std::max<int64_t>(channels - 1, 1);
  w0_.copy_((-6.5 + 5 * at::pow(n, 0.85 + std::sqrt(depth))).view({1, 1, -1}));
  w1_.zero_();
  InitializeOrthogonal(w2_);
  a0_.zero_();
  a1_.zero_();
  InitializeOrthogonal(a2_);
  if (plan_.first_of_kind) {
    v0_.zero_();
    v1_.zero_();
    v2_.zero_();
  } else {
    v0_.fill_(config_.init().value_residual());
    v1_.zero_();
    InitializeOrthogonal(v2_);
  }
  k_k_.fill_(0.85);
  k_a_.fill_(1);
  r_k_.zero_();
  head_output_->Initialize();
}

void RadRwkv7::SetForInference() {
  AttentionProjections::SetForInference();
  for (Tensor* matrix : {&w1_, &w2_, &a1_, &a2_, &v1_, &v2_}) SetProjectionForInference(*matrix);
  head_output_->SetForInference();
  decay_.emplace(w1_, w2_);
  iclr_.emplace(a1_, a2_);
  value_.emplace(v1_, v2_);
  w0_floats_ = InferenceVector(w0_);
  a0_floats_ = InferenceVector(a0_);
  v0_floats_ = InferenceVector(v0_);
  k_k_floats_ = InferenceVector(k_k_);
  k_a_floats_ = InferenceVector(k_a_);
}

void RadRwkv7::MakeRoom(int64_t batch, int64_t, at::ScalarType, LayerState* state) const {
  Tensor& wkv = state->tensors["wkv"];
  wkv = OwnState(wkv, {batch, sizes_.heads, sizes_.head_dim, sizes_.head_dim}, at::kFloat);
}

void RadRwkv7::Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const {
  const int64_t rows = pass.rows(), width = sizes_.attention, kv_width = sizes_.kv_heads * sizes_.head_dim;
  const bool first = plan_.first_of_kind, bf16 = pass.bf16;
  const SharedMemory q(pass.Bytes(width)), k(pass.Bytes(kv_width)), v(pass.Bytes(kv_width)), w(pass.Bytes(width)),
      a(pass.Bytes(width)), v_mix(pass.Bytes(width)), gate(pass.Bytes(width));
  const SharedMemory low_w(pass.Bytes(decay_->rank())), low_a(pass.Bytes(iclr_->rank())),
      low_v(pass.Bytes(value_->rank())), low_gate(pass.Bytes(head_output_->gate_rank()));
  std::vector<LinearProduct> in = ProjectionProducts(pass, {x, x, x}, {q.data(), k.data(), v.data()});
  in.push_back(decay_->Down(pass, x, low_w.data(), LinearActivation::kTanh));
  in.push_back(iclr_->Down(pass, x, low_a.data()));
  if (!first) in.push_back(value_->Down(pass, x, low_v.data()));
  std::vector<LinearProduct> up = {decay_->Up(pass, low_w.data(), w.data()), iclr_->Up(pass, low_a.data(), a.data())};
  if (!first) up.push_back(value_->Up(pass, low_v.data(), v_mix.data()));
  head_output_->AddGateProducts(pass, x, low_gate.data(), gate.data(), &in, &up);
  QuantizedLinears(in, rows, bf16);
  QuantizedLinears(up, rows, bf16);
  NormHeads(pass, q.data(), k.data());

  const size_t wide = rows * width * sizeof(float);
  const SharedMemory r(wide), log_w(wide), keys(wide), values(wide), minus_kk(wide), kk_iclr(wide), o(wide);
  const bool rotary = config_.use_pos_emb();
  float* const value = first ? pass.v_first : values.floats();
  Rwkv7PrepareForwardCpu({.batch = pass.batch,
                          .time = pass.time,
                          .heads = sizes_.heads,
                          .kv_heads = sizes_.kv_heads,
                          .head_dim = sizes_.head_dim,
                          .bf16 = bf16,
                          .results_bf16 = false,
                          .balance_state = config_.balance_state() != 0,
                          .q = q.data(),
                          .k = k.data(),
                          .v = v.data(),
                          .w = w.data(),
                          .a = a.data(),
                          .v_mix = first ? nullptr : v_mix.data(),
                          .v_first = first ? nullptr : pass.v_first,
                          .cos = rotary ? pass.cos : nullptr,
                          .sin = rotary ? pass.sin : nullptr,
                          .tables_per_batch = pass.tables_per_batch,
                          .w0 = Floats(w0_floats_),
                          .a0 = Floats(a0_floats_),
                          .v0 = Floats(v0_floats_),
                          .k_k = Floats(k_k_floats_),
                          .k_a = Floats(k_a_floats_)},
                         {.r = r.data(),
                          .k = keys.data(),
                          .v = value,
                          .a = minus_kk.data(),
                          .b = kk_iclr.data(),
                          .log_w = log_w.floats()});
  InferRecurrence(pass, sizes_,
                  {.r = r.data(),
                   .r_bf16 = false,
                   .log_w = log_w.floats(),
                   .k = keys.floats(),
                   .v = value,
                   .a = minus_kk.floats(),
                   .b = kk_iclr.floats(),
                   .scale = 1},
                  state->tensors.at("wkv"), o.floats());
  head_output_->Infer(pass, o.floats(), gate.data(), 1 / std::sqrt(static_cast<double>(sizes_.head_dim)), q.data());
  AddOutput(pass, q.data(), residual);
}

}  // namespace radlads
