// SwiGlu on CUDA: as swiglu_cpu.h, in memory of the current device and on a stream.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_SWIGLU_SWIGLU_CUDA_H_
#define RADLADS_KERNELS_SWIGLU_SWIGLU_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/swiglu/swiglu_cpu.h"

namespace radlads::cuda {

Error SwiGluForward(int64_t count, bool bf16, const void* gate, const void* up, void* y, Stream stream);
Error SwiGluBackward(int64_t count, bool bf16, const void* gate, const void* up, const void* dy, void* d_gate,
                     void* d_up, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_SWIGLU_SWIGLU_CUDA_H_
