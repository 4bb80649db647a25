#ifndef RADLADS_KERNELS_SWIGLU_SWIGLU_REFERENCE_H_
#define RADLADS_KERNELS_SWIGLU_SWIGLU_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// SwiGlu composed of ATen operations: any float dtype and device, differentiable.
at::Tensor SwiGluReference(const at::Tensor& gate, const at::Tensor& up);

}  // namespace radlads

#endif  // RADLADS_KERNELS_SWIGLU_SWIGLU_REFERENCE_H_
