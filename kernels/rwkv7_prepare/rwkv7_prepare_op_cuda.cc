#include "kernels/cuda/torch.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cuda.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(rwkv7_prepare_forward,
                     [](const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareResults& results) {
                       Check(Rwkv7PrepareForward(arguments, results, CurrentStream()), "Rwkv7Prepare");
                     });

const OnCuda backward(rwkv7_prepare_backward, [](const Rwkv7PrepareArguments& arguments,
                                                 const Rwkv7PrepareGradients& gradients) {
  const Scratch scratch(Rwkv7PrepareScratchSize(arguments));
  Check(Rwkv7PrepareBackward(arguments, gradients, scratch.data(), CurrentStream()), "Rwkv7Prepare's gradient");
});

}  // namespace
}  // namespace radlads::cuda
