#include "model/time_mixers/softmax_attention.h"

#include <torch/nn/init.h>
#include <torch/types.h>

#include <cmath>

#include "base/status.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/softmax_attention/softmax_attention.h"

namespace radlads {
namespace {

// A module that only holds the weight of a norm, so that it gets its Hugging Face name ("q_norm.weight").
class NormWeight : public torch::nn::Module {
 public:
  explicit NormWeight(int64_t width) { weight = register_parameter("weight", torch::ones({width})); }
  Tensor weight;
};

}  // namespace

Tensor ExpandKeyValueHeads(const Tensor& x, int64_t heads) {
  const int64_t kv = x.size(2), group = heads / kv;
  if (group == 1) return x;
  return x.unsqueeze(3).expand({-1, -1, -1, group, -1}).reshape({x.size(0), x.size(1), heads, x.size(3)});
}

AttentionProjections::AttentionProjections(const ModelConfig& config, const ModelSizes& sizes)
    : sizes_(sizes), norm_eps_(config.rms_norm_eps()) {
  const int64_t kv = sizes.kv_heads * sizes.head_dim;
  q_proj_ = register_module("q_proj", std::make_shared<Linear>(sizes.width, sizes.attention, sizes.attention_bias));
  k_proj_ = register_module("k_proj", std::make_shared<Linear>(sizes.width, kv, sizes.attention_bias));
  v_proj_ = register_module("v_proj", std::make_shared<Linear>(sizes.width, kv, sizes.attention_bias));
  o_proj_ = register_module("o_proj", std::make_shared<Linear>(sizes.attention, sizes.width, false));
  if (sizes.qk_norm) {
    q_norm_ = register_module("q_norm", std::make_shared<NormWeight>(sizes.head_dim))->weight;
    k_norm_ = register_module("k_norm", std::make_shared<NormWeight>(sizes.head_dim))->weight;
  }
}

Tensor AttentionProjections::Heads(const Linear& projection, const Tensor& x, const Tensor& norm) const {
  Tensor y = projection.Forward(x).view({x.size(0), x.size(1), -1, sizes_.head_dim});
  return norm.defined() ? RmsNorm(y, norm, norm_eps_, y.scalar_type()) : y;
}

Tensor AttentionProjections::Queries(const Tensor& x) const { return Heads(*q_proj_, x, q_norm_); }
Tensor AttentionProjections::Keys(const Tensor& x) const { return Heads(*k_proj_, x, k_norm_); }
Tensor AttentionProjections::Values(const Tensor& x) const { return Heads(*v_proj_, x, Tensor()); }

void AttentionProjections::InitializeProjections(const AttentionProjections* teacher, bool draw_anew) {
  torch::NoGradGuard no_grad;
  // The ranges of RADLADS for reinit_att; its output projection starts at zero.
  const double low = -0.5 / std::sqrt(sizes_.width), high = 0.5 / std::sqrt(sizes_.attention);
  const auto mine = {q_proj_, k_proj_, v_proj_, o_proj_};
  if (teacher == nullptr || draw_anew) {
    for (const auto& projection : mine) {
      projection->weight.uniform_(low, high);
      if (projection->bias.defined()) projection->bias.zero_();
    }
    if (draw_anew) o_proj_->weight.zero_();
  } else {
    const auto theirs = {teacher->q_proj_, teacher->k_proj_, teacher->v_proj_, teacher->o_proj_};
    for (auto from = theirs.begin(); const auto& to : mine) {
      to->weight.copy_((*from)->weight);
      RADLADS_CHECK(to->bias.defined() == (*from)->bias.defined()) << "student and teacher disagree on attention biases";
      if (to->bias.defined()) to->bias.copy_((*from)->bias);
      ++from;
    }
  }
  if (q_norm_.defined() && teacher != nullptr) {
    q_norm_.copy_(teacher->q_norm_);
    k_norm_.copy_(teacher->k_norm_);
  } else if (q_norm_.defined()) {
    q_norm_.fill_(1);
    k_norm_.fill_(1);
  }
}

SoftmaxAttention::SoftmaxAttention(const ModelConfig& config, const ModelSizes& sizes)
    : AttentionProjections(config, sizes) {}

Tensor SoftmaxAttention::Forward(const Tensor& x, MixContext& context, LayerState* state) {
  const int64_t batch = x.size(0), time = x.size(1);
  const Tensor q = Rope(Queries(x), context.cos, context.sin);         // [B,T,H,D]
  Tensor k = Rope(Keys(x), context.cos, context.sin).transpose(1, 2);  // [B,KV,T,D]
  Tensor v = Values(x).transpose(1, 2);
  Tensor document = context.document;
  if (state != nullptr) {
    if (!state->empty()) {
      k = at::cat({state->tensors.at("key").to(k.scalar_type()), k}, 2);
      v = at::cat({state->tensors.at("value").to(v.scalar_type()), v}, 2);
      if (document.defined()) document = at::cat({state->tensors.at("document"), document}, 1);
    }
    state->tensors["key"] = k.detach();
    state->tensors["value"] = v.detach();
    if (document.defined()) state->tensors["document"] = document;
  }
  Tensor first;
  if (document.defined()) first = at::searchsorted(document.contiguous(), context.document.contiguous());
  const double scale = 1 / std::sqrt(static_cast<double>(sizes_.head_dim));
  const Tensor y = CausalSoftmaxAttention(q, k.transpose(1, 2), v.transpose(1, 2), scale, first, context.runs_again);
  return Output(y.view({batch, time, sizes_.attention}));
}

void SoftmaxAttention::InitializeFrom(const SoftmaxAttention* teacher) {
  InitializeProjections(teacher, /*draw_anew=*/false);
}

}  // namespace radlads
