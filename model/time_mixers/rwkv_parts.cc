#include "model/time_mixers/rwkv_parts.h"

#include <torch/nn/init.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "kernels/head_norm_gate/head_norm_gate.h"

namespace radlads {
namespace {

class AffineNorm : public torch::nn::Module {
 public:
  explicit AffineNorm(int64_t width) {
    weight = register_parameter("weight", torch::ones({width}));
    bias = register_parameter("bias", torch::zeros({width}));
  }
  Tensor weight, bias;
};

}  // namespace

HeadOutput::HeadOutput(torch::nn::Module& owner, const ModelConfig& config, const ModelSizes& sizes)
    : eps_(sizes.head_dim * 1e-5), initial_gate_(config.init().gate()) {
  if (config.groupnorm_att()) {
    auto norm = owner.register_module("ln_x", std::make_shared<AffineNorm>(sizes.attention));
    norm_weight_ = norm->weight;
    norm_bias_ = norm->bias;
  }
  if (config.gate_rank_type() == 1) {
    gate_ = owner.register_module("gate", std::make_shared<Linear>(sizes.width, sizes.attention, false));
  } else if (config.gate_rank_type() == 2) {
    g1_ = owner.register_parameter("g1", torch::empty({sizes.width, sizes.rank_gate}));
    g2_ = owner.register_parameter("g2", torch::empty({sizes.rank_gate, sizes.attention}));
  }
}

Tensor HeadOutput::Forward(const Tensor& o, const Tensor& x, double scale) const {
  Tensor gate;
  if (gate_) {
    gate = gate_->Forward(x);
  } else if (g1_.defined()) {
    gate = Project(at::sigmoid(Project(x, g1_)), g2_);
  }
  return HeadNormGate(o, norm_weight_, norm_bias_, eps_, scale, gate, /*gate_sigmoid=*/gate_ != nullptr,
                      x.scalar_type());
}

void HeadOutput::Initialize() {
  torch::NoGradGuard no_grad;
  if (norm_weight_.defined()) {
    norm_weight_.fill_(1);
    norm_bias_.zero_();
  }
  if (gate_) gate_->weight.zero_();
  if (g1_.defined()) {
    g1_.zero_();
    InitializeOrthogonal(g2_);
    // sigmoid(0) = 1/2 of every row of g2 makes the gate.
    if (initial_gate_ != 0) g2_.add_(2 * initial_gate_ / g2_.size(0));
  }
}

void HeadOutput::SetForInference() {
  if (!g1_.defined()) return;
  SetProjectionForInference(g1_);
  SetProjectionForInference(g2_);
}

void InitializeOrthogonal(Tensor& matrix) {
  torch::NoGradGuard no_grad;
  const double rows = matrix.size(0), columns = matrix.size(1);
  Tensor drawn = torch::empty(matrix.sizes(), torch::kFloat);
  torch::nn::init::orthogonal_(drawn, 0.1 * std::max(1.0, std::sqrt(rows / columns)));
  matrix.copy_(drawn);
}

std::optional<Tensor> TakeCarried(LayerState* state, const char* name) {
  if (state == nullptr || state->empty()) return std::nullopt;
  return std::move(state->tensors.at(name));
}

std::optional<Tensor> ResetOf(const MixContext& context) {
  return context.reset.defined() ? std::optional<Tensor>(context.reset) : std::nullopt;
}

}  // namespace radlads
