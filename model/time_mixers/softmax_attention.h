// Causal softmax attention of Llama, Qwen2 and Qwen3: grouped queries, optional biases, optional RMSNorm of
// queries and keys per head, rotary embedding. Its state is the KV cache, which grows by one entry a token.
#ifndef RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_
#define RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_

#include <memory>

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

 protected:
  // Copies the projections of `teacher`, or draws them when it is null or `draw_anew`.
  void InitializeProjections(const AttentionProjections* teacher, bool draw_anew);

  const ModelSizes sizes_;
  const double norm_eps_;

 private:
  Tensor Heads(const Linear& projection, const Tensor& x, const Tensor& norm) const;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, o_proj_;
  Tensor q_norm_, k_norm_;
};

class SoftmaxAttention : public AttentionProjections {
 public:
  SoftmaxAttention(const ModelConfig& config, const ModelSizes& sizes);
  Tensor Forward(const Tensor& x, MixContext& context, LayerState* state) override;
  void InitializeFrom(const SoftmaxAttention* teacher) override;
};

// [B,T,KV,D] -> [B,T,H,D]: head h reads kv head h / (H / KV).
Tensor ExpandKeyValueHeads(const Tensor& x, int64_t heads);

}  // namespace radlads

#endif  // RADLADS_MODEL_TIME_MIXERS_SOFTMAX_ATTENTION_H_
