#include "model/time_mixers/rad_rwkv7.h"

#include <torch/types.h>

#include <cmath>

#include "kernels/rwkv7_prepare/rwkv7_prepare.h"
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
  for (Tensor* matrix : {&w1_, &w2_, &a1_, &a2_, &v1_, &v2_}) SetProjectionForInference(*matrix);
  head_output_->SetForInference();
}

}  // namespace radlads
