#include "kernels/cuda/torch.h"
#include "kernels/token_shift/token_shift_cuda.h"
#include "kernels/token_shift/token_shift_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(token_shift_forward, [](const TokenShiftArguments& arguments, void* const* y) {
  Check(TokenShiftForward(arguments, y, CurrentStream()), "TokenShift");
});

const OnCuda backward(token_shift_backward, [](const TokenShiftArguments& arguments,
                                               const TokenShiftGradients& gradients) {
  const Scratch scratch(TokenShiftScratchSize(arguments));
  Check(TokenShiftBackward(arguments, gradients, scratch.data(), CurrentStream()), "TokenShift's gradient");
});

}  // namespace
}  // namespace radlads::cuda
