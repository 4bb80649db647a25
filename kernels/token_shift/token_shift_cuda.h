// TokenShift on CUDA: as token_shift_cpu.h, in memory of the current device and on a stream; `y` and
// `dy` themselves are arrays of the host. Up to kTokenShiftMaxMixes mixes.
//
// Sums have a fixed order, the same on every GPU.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CUDA_H_
#define RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/token_shift/token_shift_cpu.h"

namespace radlads::cuda {

inline constexpr int kTokenShiftMaxMixes = 8;

Error TokenShiftForward(const TokenShiftArguments& arguments, void* const* y, Stream stream);

// `scratch` holds TokenShiftScratchSize floats.
int64_t TokenShiftScratchSize(const TokenShiftArguments& arguments);
Error TokenShiftBackward(const TokenShiftArguments& arguments, const TokenShiftGradients& gradients, float* scratch,
                         Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CUDA_H_
