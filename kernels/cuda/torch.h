// What the CUDA part of an operation (kernels/device_function.h) takes from torch.
#ifndef RADLADS_KERNELS_CUDA_TORCH_H_
#define RADLADS_KERNELS_CUDA_TORCH_H_

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/cuda/types.h"

namespace radlads::cuda {

inline Stream CurrentStream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

// Memory of the current device for kernels on the current stream; free for others when the object
// dies, behind those kernels.
class Scratch {
 public:
  explicit Scratch(int64_t floats)
      : memory_(at::empty({floats},
                          at::TensorOptions().dtype(at::kFloat).device(at::kCUDA, c10::cuda::current_device()))) {}
  float* data() const { return memory_.mutable_data_ptr<float>(); }

 private:
  const at::Tensor memory_;
};

// Throws c10::Error with what CUDA says.
inline void Check(Error error, const char* operation) {
  TORCH_CHECK(error == 0, operation, ": CUDA error ", error, " (", cudaGetErrorString(static_cast<cudaError_t>(error)),
              ")");
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_TORCH_H_
