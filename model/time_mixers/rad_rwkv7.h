// RAD-RWKV7 (RADLADS, arXiv 2505.03005): the generalised delta rule of RWKV-7 (arXiv 2503.14456) without token shift,
// with the teacher's projections, and optionally rotary embedding, balanced state, group norm and gate.
//
// State: "wkv" [B,H,K,V].
#ifndef RADLADS_MODEL_TIME_MIXERS_RAD_RWKV7_H_
#define RADLADS_MODEL_TIME_MIXERS_RAD_RWKV7_H_

#include "model/time_mixers/rwkv_parts.h"
#include "model/time_mixers/softmax_attention.h"

namespace radlads {

class RadRwkv7 : public AttentionProjections {
 public:
  RadRwkv7(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan);
  Tensor Forward(const Tensor& x, MixContext& context, LayerState* state) override;
  void InitializeFrom(const SoftmaxAttention* teacher) override;
  void SetForInference() override;
  void MakeRoom(int64_t batch, int64_t time, at::ScalarType dtype, LayerState* state) const override;
  void Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const override;

 private:
  const ModelConfig config_;
  const LayerPlan plan_;
  Tensor w0_, w1_, w2_;  // decay: [1,1,A], [C,R], [R,A]
  Tensor a0_, a1_, a2_;  // in-context learning rate
  Tensor v0_, v1_, v2_;  // value residual; zero and unused in the first layer
  Tensor k_k_, k_a_;     // [1,1,A]
  Tensor r_k_;           // [H,D]: published with the models, never used by them
  std::shared_ptr<HeadOutput> head_output_;
  // For inference.
  std::optional<LowRank> decay_, iclr_, value_;
  Tensor w0_floats_, a0_floats_, v0_floats_, k_k_floats_, k_a_floats_;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_RAD_RWKV7_H_
