#include "kernels/cuda/torch.h"
#include "kernels/rms_norm/rms_norm_cuda.h"
#include "kernels/rms_norm/rms_norm_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(rms_norm_forward, [](const RmsNormArguments& arguments, void* y) {
  Check(RmsNormForward(arguments, y, CurrentStream()), "RmsNorm");
});

const OnCuda backward(rms_norm_backward, [](const RmsNormArguments& arguments, const void* dy, void* dx,
                                            float* d_weight) {
  const Scratch scratch(RmsNormScratchSize(arguments));
  Check(RmsNormBackward(arguments, dy, dx, d_weight, scratch.data(), CurrentStream()), "RmsNorm's gradient");
});

}  // namespace
}  // namespace radlads::cuda
