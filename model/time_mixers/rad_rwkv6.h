// RAD-RWKV6 (RADLADS, arXiv 2505.03005): gated linear attention with data-dependent decay, and optionally token
// shift, gate, rotary embedding, balanced state and group normalisation of the heads.
//
// State: "wkv" [B,H,K,V]; with token shift also "shift" [B,C], the last input.
#ifndef RADLADS_MODEL_TIME_MIXERS_RAD_RWKV6_H_
#define RADLADS_MODEL_TIME_MIXERS_RAD_RWKV6_H_

#include <array>

#include "model/time_mixers/rwkv_parts.h"
#include "model/time_mixers/softmax_attention.h"

namespace radlads {

class RadRwkv6 : public AttentionProjections {
 public:
  RadRwkv6(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan);
  Tensor Forward(const Tensor& x, MixContext& context, LayerState* state) override;
  void InitializeFrom(const SoftmaxAttention* teacher) override;
  void SetForInference() override;
  void MakeRoom(int64_t batch, int64_t time, at::ScalarType dtype, LayerState* state) const override;
  void Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const override;

 private:
  // The five inputs r, k, v, w, g: x itself, or x interpolated with the token before by learned, data-dependent amounts.
  std::array<Tensor, 5> ShiftTokens(const Tensor& x, const MixContext& context, LayerState* state) const;
  // Inference: `shifted` are the five.
  void InferShift(const InferencePass& pass, const void* x, Tensor& before, const std::array<void*, 5>& shifted) const;

  const ModelConfig config_;
  const LayerPlan plan_;
  std::array<Tensor, 5> maa_;  // time_maa_{r,k,v,w,g} [1,1,C]
  Tensor maa_x_, maa_w1_, maa_w2_;  // [1,1,C], [C,5R], [5,R,C]
  Tensor decay_, decay_w1_, decay_w2_;  // [1,1,A], [C,R], [R,A]
  std::shared_ptr<HeadOutput> head_output_;
  // For inference.
  std::vector<LowRank> shift_;  // of the five
  std::optional<LowRank> low_decay_;
  Tensor maa_x_floats_, maa_floats_, decay_floats_;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_RAD_RWKV6_H_
