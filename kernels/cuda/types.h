// The types that host code and CUDA kernels exchange. Needs neither the CUDA toolkit nor a GPU.
#ifndef RADLADS_KERNELS_CUDA_TYPES_H_
#define RADLADS_KERNELS_CUDA_TYPES_H_

#include <cstdint>

struct CUstream_st;

namespace radlads::cuda {

// A number in bfloat16, as torch stores it.
struct Bf16 {
  uint16_t bits;
};

// cudaStream_t and cudaError_t. 0 is success.
using Stream = CUstream_st*;
using Error = int;

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_TYPES_H_
