#ifndef RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_REFERENCE_H_
#define RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// L2Distance composed of ATen operations: any float dtype and device, differentiable.
at::Tensor L2DistanceReference(const at::Tensor& target, const at::Tensor& x);

}  // namespace radlads

#endif  // RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_REFERENCE_H_
