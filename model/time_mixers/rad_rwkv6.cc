#include "model/time_mixers/rad_rwkv6.h"

#include <torch/types.h>

#include <cmath>

#include "kernels/rope/rope.h"
#include "kernels/token_shift/token_shift.h"
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
  for (Tensor* matrix : {&decay_w1_, &decay_w2_}) SetProjectionForInference(*matrix);
  if (config_.use_tokenshift()) {
    for (Tensor* matrix : {&maa_w1_, &maa_w2_}) SetProjectionForInference(*matrix);
  }
  head_output_->SetForInference();
}

}  // namespace radlads
