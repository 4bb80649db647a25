// Mixers by the names that a layer plan uses. A new mixer adds one line to registry.cc.
#ifndef RADLADS_MODEL_REGISTRY_H_
#define RADLADS_MODEL_REGISTRY_H_

#include <memory>

#include "model/layer_plan.h"
#include "model/mixer.h"

namespace radlads {

// `plan` comes from PlanLayers, `sizes` from ResolveSizes.
std::shared_ptr<TimeMixer> MakeTimeMixer(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan);
std::shared_ptr<ChannelMixer> MakeChannelMixer(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan);

}  // namespace radlads

#endif  // RADLADS_MODEL_REGISTRY_H_
