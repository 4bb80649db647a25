#ifndef RADLADS_KERNELS_RMS_NORM_RMS_NORM_REFERENCE_H_
#define RADLADS_KERNELS_RMS_NORM_RMS_NORM_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// RmsNorm composed of ATen operations: any float dtype and device, differentiable.
at::Tensor RmsNormReference(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RMS_NORM_RMS_NORM_REFERENCE_H_
