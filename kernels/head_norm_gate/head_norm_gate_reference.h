#ifndef RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_REFERENCE_H_
#define RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// HeadNormGate composed of ATen operations: any float dtype and device, differentiable.
at::Tensor HeadNormGateReference(const at::Tensor& o, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                 double scale, const at::Tensor& gate, bool gate_sigmoid, at::ScalarType out);

}  // namespace radlads

#endif  // RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_REFERENCE_H_
