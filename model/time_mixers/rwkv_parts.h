// What RAD-RWKV6 and RAD-RWKV7 share: the gated, normalised output of the heads, initialisers, carried tensors.
#ifndef RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_
#define RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_

#include <memory>
#include <optional>

#include "model/layer_plan.h"
#include "model/linear.h"
#include "model/mixer.h"

namespace radlads {

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

 private:
  const double eps_, initial_gate_;
  Tensor norm_weight_, norm_bias_, g1_, g2_;
  std::shared_ptr<Linear> gate_;
};

// Orthogonal with gain 0.1 * max(1, sqrt(rows / columns)), as RADLADS draws the second low-rank matrices.
void InitializeOrthogonal(Tensor& matrix);

// The tensor `name` of a carried state, or nothing for a fresh one. Taken: the caller puts what comes after it in its
// place.
std::optional<Tensor> TakeCarried(LayerState* state, const char* name);
std::optional<Tensor> ResetOf(const MixContext& context);

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_RWKV_PARTS_H_
