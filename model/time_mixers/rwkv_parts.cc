#include "model/time_mixers/rwkv_parts.h"

#include <torch/nn/init.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "base/parallel_for.h"
#include "kernels/head_norm_gate/head_norm_gate.h"
#include "kernels/head_norm_gate/head_norm_gate_cpu.h"
#include "kernels/wkv/recurrence.h"

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
    : eps_(sizes.head_dim * 1e-5),
      initial_gate_(config.init().gate()),
      heads_(sizes.heads),
      head_dim_(sizes.head_dim) {
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
  norm_weight_floats_ = InferenceVector(norm_weight_);
  norm_bias_floats_ = InferenceVector(norm_bias_);
  if (!g1_.defined()) return;
  SetProjectionForInference(g1_);
  SetProjectionForInference(g2_);
  low_rank_.emplace(g1_, g2_);
}

void HeadOutput::AddGateProducts(const InferencePass& pass, const void* x, void* low, void* gate,
                                 std::vector<LinearProduct>* first, std::vector<LinearProduct>* second) const {
  if (gate_) first->push_back(gate_->Product(pass, x, gate));
  if (!low_rank_) return;
  first->push_back(low_rank_->Down(pass, x, low, LinearActivation::kSigmoid));
  second->push_back(low_rank_->Up(pass, low, gate));
}

void HeadOutput::Infer(const InferencePass& pass, const float* o, const void* gate, double scale, void* y) const {
  HeadNormGateForwardCpu({.rows = pass.rows(),
                          .heads = heads_,
                          .head_dim = head_dim_,
                          .o = o,
                          .o_bf16 = false,
                          .weight = Floats(norm_weight_floats_),
                          .bias = Floats(norm_bias_floats_),
                          .eps = static_cast<float>(eps_),
                          .scale = static_cast<float>(scale),
                          .gate = gate_ || low_rank_ ? gate : nullptr,
                          .gate_bf16 = pass.bf16,
                          .gate_sigmoid = gate_ != nullptr,
                          .out_bf16 = pass.bf16},
                         y);
}

void InferRecurrence(const InferencePass& pass, const ModelSizes& sizes, const InferenceOperands& operands, Tensor& state,
                     float* output) {
  const int64_t D = sizes.head_dim, width = sizes.heads * D;
  const auto array = [&](const void* data, bool bf16 = false) -> WkvArray {
    return {data, bf16, pass.time * width, width, D};
  };
  float* const memory = state.mutable_data_ptr<float>();
  WkvForward({.shape = {pass.batch, pass.time, sizes.heads, D, D},
              .r = array(operands.r, operands.r_bf16),
              .log_w = array(operands.log_w),
              .k = array(operands.k),
              .v = array(operands.v),
              .a = array(operands.a),
              .b = array(operands.b),
              .scale = static_cast<float>(operands.scale),
              .initial_state = memory,
              .reset = nullptr},
             {output, false, pass.time * width, width, D}, memory, nullptr);
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
