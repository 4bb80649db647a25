// Trade time for memory: a part of the network is run without keeping its activations and run again in the
// backward pass (Chen et al., arXiv 1604.06174).
#ifndef RADLADS_MODEL_ACTIVATION_CHECKPOINT_H_
#define RADLADS_MODEL_ACTIVATION_CHECKPOINT_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace radlads {

// Runs part(inputs) so that its result can be differentiated with respect to `inputs` and to parameters that `part`
// captures. `part` must be a pure function of both (no random numbers) and is called once more for each backward
// pass. At least one input must require a gradient; undefined inputs and outputs are not allowed.
std::vector<at::Tensor> RunCheckpointed(
    std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)> part, const std::vector<at::Tensor>& inputs);

}  // namespace radlads

#endif  // RADLADS_MODEL_ACTIVATION_CHECKPOINT_H_
