#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_OP_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_OP_H_

#include <ATen/core/Tensor.h>

#include "kernels/quantized_linear/quantized_linear.h"

namespace radlads {

// QuantizedLinear on tensors: x [..., in], any strides, and bias [out] of any float dtype, which may be undefined ->
// [..., out] of dtype `out`. x and `out` are fp32 or bf16, on the CPU.
//
// For inference only. Where autograd records x or the bias it throws c10::Error, as for a wrong shape or dtype.
at::Tensor QuantizedLinear(const at::Tensor& x, const WeightMatrix& w, const at::Tensor& bias, at::ScalarType out);

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_OP_H_
