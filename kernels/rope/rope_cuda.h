// Rope on CUDA: as rope_cpu.h, in memory of the current device and on a stream.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_ROPE_ROPE_CUDA_H_
#define RADLADS_KERNELS_ROPE_ROPE_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/rope/rope_cpu.h"

namespace radlads::cuda {

Error RopeForward(const RopeArguments& arguments, const void* x, void* y, Stream stream);
Error RopeBackward(const RopeArguments& arguments, const void* dy, void* dx, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_ROPE_ROPE_CUDA_H_
