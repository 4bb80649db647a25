#ifndef RADLADS_KERNELS_ROPE_ROPE_REFERENCE_H_
#define RADLADS_KERNELS_ROPE_ROPE_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// Rope composed of ATen operations: any float dtype and device, differentiable.
at::Tensor RopeReference(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace radlads

#endif  // RADLADS_KERNELS_ROPE_ROPE_REFERENCE_H_
