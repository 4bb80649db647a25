// What RAD-RWKV6 and RAD-RWKV7 share: the gated, normalised output of the heads, initialisers, carried tensors.
#ifndef RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_
#define RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_

#include <memory>
#include <optional>
#include <vector>

#include "model/layer_plan.h"
#include "model/linear.h"
#include "model/mixer.h"

namespace radlads {

// For inference: x -> activation(x A) B, of matrices that SetProjectionForInference has laid out and that outlive it.
struct LowRank {
  LowRank(const Tensor& a, const Tensor& b) : down(InferenceMatrix(a)), up(InferenceMatrix(b)) {}
  int64_t rank() const { return up.in(); }
  LinearProduct Down(const InferencePass& pass, const void* x, void* low,
                     LinearActivation activation = LinearActivation::kNone) const {
    return {.w = &down, .x = x, .y = low, .y_bf16 = pass.bf16, .activation = activation};
  }
  LinearProduct Up(const InferencePass& pass, const void* low, void* y) const {
    return {.w = &up, .x = low, .y = y, .y_bf16 = pass.bf16};
  }
  WeightMatrix down, up;
};

// Group norm per head (groupnorm_att; eps = head_dim * 1e-5) and gate (gate_rank_type) of the recurrence's output.
// Registers its parameters in `owner` under the published names: ln_x.{weight,bias} [A], gate.weight [A,C] or
// g1 [C,R], g2 [R,A].
class HeadOutput {
 public:
  HeadOutput(torch::nn::Module& owner, const ModelConfig& config, const ModelSizes& sizes);
  // o [B,T,H,V], gate input x [B,T,C] -> [B,T,A] in x's dtype. Without group norm o is multiplied by `scale`.
  Tensor Forward(const Tensor& o, const Tensor& x, double scale) const;
  void Initialize();
  void SetForInference();
  // Inference: the products that make the gate [rows,A] of its input x [rows,C], through low [rows,R] where there is one.
  int64_t gate_rank() const { return low_rank_ ? low_rank_->rank() : 0; }
  void AddGateProducts(const InferencePass& pass, const void* x, void* low, void* gate,
                       std::vector<LinearProduct>* first, std::vector<LinearProduct>* second) const;
  // ... and with it o [rows,A] fp32 -> y [rows,A] activations.
  void Infer(const InferencePass& pass, const float* o, const void* gate, double scale, void* y) const;

 private:
  const double eps_, initial_gate_;
  const int64_t heads_, head_dim_;
  Tensor norm_weight_, norm_bias_, g1_, g2_;
  std::shared_ptr<Linear> gate_;
  // For inference.
  Tensor norm_weight_floats_, norm_bias_floats_;
  std::optional<LowRank> low_rank_;
};

// Orthogonal with gain 0.1 * max(1, sqrt(rows / columns)), as RADLADS draws the second low-rank matrices.
void InitializeOrthogonal(Tensor& matrix);

// The tensor `name` of a carried state, or nothing for a fresh one. Taken: the caller puts what comes after it in its
// place.
std::optional<Tensor> TakeCarried(LayerState* state, const char* name);
std::optional<Tensor> ResetOf(const MixContext& context);

// Inference: the recurrence of operands [rows,A] fp32, or r bf16, over the state [B,H,D,D], which it moves on. -> output
// [rows,A] fp32. a and b null: that of RWKV-6.
struct InferenceOperands {
  const void* r;
  bool r_bf16;
  const float *log_w, *k, *v, *a, *b;
  double scale;
};
void InferRecurrence(const InferencePass& pass, const ModelSizes& sizes, const InferenceOperands& operands, Tensor& state,
                     float* output);

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_
