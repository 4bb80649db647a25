#include "model/registry.h"

#include "base/status.h"
#include "model/channel_mixers/swiglu_mlp.h"
#include "model/time_mixers/rad_rwkv6.h"
#include "model/time_mixers/rad_rwkv7.h"
#include "model/time_mixers/softmax_attention.h"

namespace radlads {

std::shared_ptr<TimeMixer> MakeTimeMixer(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan) {
  if (IsSoftmax(plan.time_mixer)) return std::make_shared<SoftmaxAttention>(config, sizes);
  if (plan.time_mixer == "rad_rwkv6") return std::make_shared<RadRwkv6>(config, sizes, plan);
  if (plan.time_mixer == "rad_rwkv7") return std::make_shared<RadRwkv7>(config, sizes, plan);
  RADLADS_CHECK(false) << "the plan names " << plan.time_mixer << ", which the registry lacks";
  return nullptr;
}

std::shared_ptr<ChannelMixer> MakeChannelMixer(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan) {
  if (plan.channel_mixer == "swiglu") return std::make_shared<SwiGluMlp>(sizes);
  RADLADS_CHECK(false) << "the plan names " << plan.channel_mixer << ", which the registry lacks";
  return nullptr;
}

}  // namespace radlads
