// down_proj(silu(gate_proj(x)) * up_proj(x)): the channel mixer of Llama, Qwen2, Qwen3 and their students.
#ifndef RADLADS_MODEL_CHANNEL_MIXERS_SWIGLU_MLP_H_
#define RADLADS_MODEL_CHANNEL_MIXERS_SWIGLU_MLP_H_

#include <memory>

#include "model/layer_plan.h"
#include "model/linear.h"
#include "model/mixer.h"

namespace radlads {

class SwiGluMlp : public ChannelMixer {
 public:
  explicit SwiGluMlp(const ModelSizes& sizes);
  Tensor Forward(const Tensor& x) override;
  void Infer(const InferencePass& pass, const void* x, float* residual) const override;

 private:
  std::shared_ptr<Linear> gate_proj_, up_proj_, down_proj_;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_CHANNEL_MIXERS_SWIGLU_MLP_H_
