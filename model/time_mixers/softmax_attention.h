// Causal softmax attention of Llama, Qwen2 and Qwen3: grouped queries, optional biases, optional RMSNorm of
// queries and keys per head, rotary embedding. Its state is the KV cache, which grows by one entry a token.
#ifndef RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_
#define RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_

#include <array>
#include <memory>
#include <vector>

#include "model/layer_plan.h"
#include "model/linear.h"
#include "model/mixer.h"

namespace radlads {

// The projections that attention and its replacements share, with the names and shapes of the teacher's:
// q_proj [A,C], k_proj and v_proj [KV*D,C], o_proj [C,A]; q_norm and k_norm "weight" [D] where the teacher has them.
class AttentionProjections : public TimeMixer {
 public:
  AttentionProjections(const ModelConfig& config, const ModelSizes& sizes);

  // Queries [B,T,H,D], keys and values [B,T,KV,D], normed per head where asked for, before the rotary embedding.
  Tensor Queries(const Tensor& x) const;
  Tensor Keys(const Tensor& x) const;
  Tensor Values(const Tensor& x) const;
  Tensor Output(const Tensor& mixed) const { return o_proj_->Forward(mixed); }
  void SetForInference() override;

 protected:
  // Copies the projections of `teacher`, or draws them when it is null or `draw_anew`.
  void InitializeProjections(const AttentionProjections* teacher, bool draw_anew);

  // Inference: queries [rows,H*D], keys and values [rows,KV*D] of three inputs, ...
  std::vector<LinearProduct> ProjectionProducts(const InferencePass& pass, const std::array<const void*, 3>& x,
                                                const std::array<void*, 3>& qkv) const;
  // ... normed where asked for, in place, ...
  void NormHeads(const InferencePass& pass, void* q, void* k) const;
  // ... with the rotary embedding.
  void RotateHeads(const InferencePass& pass, void* q, void* k) const;
  void AddOutput(const InferencePass& pass, const void* mixed, float* residual) const;

  const ModelSizes sizes_;
  const double norm_eps_;

 private:
  Tensor Heads(const Linear& projection, const Tensor& x, const Tensor& norm) const;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, o_proj_;
  Tensor q_norm_, k_norm_, q_norm_floats_, k_norm_floats_;
};

class SoftmaxAttention : public AttentionProjections {
 public:
  SoftmaxAttention(const ModelConfig& config, const ModelSizes& sizes);
  Tensor Forward(const Tensor& x, MixContext& context, LayerState* state) override;
  void InitializeFrom(const SoftmaxAttention* teacher) override;
  void MakeRoom(int64_t batch, int64_t time, at::ScalarType dtype, LayerState* state) const override;
  void Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const override;
};

// [B,T,KV,D] -> [B,T,H,D]: head h reads kv head h / (H / KV).
Tensor ExpandKeyValueHeads(const Tensor& x, int64_t heads);

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_
