// Rwkv7Prepare on CUDA: as rwkv7_prepare_cpu.h, in memory of the current device and on a stream. head_dim is at most
// kRwkv7PrepareMaxHeadDim.
//
// Sums have a fixed order, the same on every GPU. NaN stays in its head, or among the heads that read a key or value
// head.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CUDA_H_
#define RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cpu.h"

namespace radlads::cuda {

inline constexpr int64_t kRwkv7PrepareMaxHeadDim = 1024;

Error Rwkv7PrepareForward(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareResults& results, Stream stream);

// `scratch` holds Rwkv7PrepareScratchSize floats.
int64_t Rwkv7PrepareScratchSize(const Rwkv7PrepareArguments& arguments);
Error Rwkv7PrepareBackward(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareGradients& gradients,
                           float* scratch, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CUDA_H_
