#include "kernels/cuda/torch.h"
#include "kernels/rope/rope_cuda.h"
#include "kernels/rope/rope_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(rope_forward, [](const RopeArguments& arguments, const void* x, void* y) {
  Check(RopeForward(arguments, x, y, CurrentStream()), "Rope");
});

const OnCuda backward(rope_backward, [](const RopeArguments& arguments, const void* dy, void* dx) {
  Check(RopeBackward(arguments, dy, dx, CurrentStream()), "Rope's gradient");
});

}  // namespace
}  // namespace radlads::cuda
