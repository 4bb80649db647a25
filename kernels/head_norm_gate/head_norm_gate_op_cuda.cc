#include "kernels/cuda/torch.h"
#include "kernels/head_norm_gate/head_norm_gate_cuda.h"
#include "kernels/head_norm_gate/head_norm_gate_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(head_norm_gate_forward, [](const HeadNormGateArguments& arguments, void* y) {
  Check(HeadNormGateForward(arguments, y, CurrentStream()), "HeadNormGate");
});

const OnCuda backward(head_norm_gate_backward, [](const HeadNormGateArguments& arguments,
                                                  const HeadNormGateGradients& gradients) {
  const Scratch scratch(HeadNormGateScratchSize(arguments));
  Check(HeadNormGateBackward(arguments, gradients, scratch.data(), CurrentStream()), "HeadNormGate's gradient");
});

}  // namespace
}  // namespace radlads::cuda
