// What follows the recurrence of a time mixer and precedes its output projection: group norm per head, output gate.
#ifndef RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_H_
#define RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// o [B,T,H,V] -> [B,T,A] of dtype `out`, A = H*V.
//
//   y = (o - mean) * rsqrt(variance + eps) * weight + bias    if weight is defined; mean and variance over V
//   y = o * scale                                             otherwise
//   y = y * gate, or y * sigmoid(gate) if gate_sigmoid         if gate is defined
//
// weight and bias have A elements and are both defined or both undefined; gate is [B,T,A]. Arithmetic is in fp32
// (double when an argument is double), rounded once at the end.
//
// Gradients: each in its argument's dtype. The sums over rows for weight and bias have a fixed order that does not
// depend on the number of threads.
at::Tensor HeadNormGate(const at::Tensor& o, const at::Tensor& weight, const at::Tensor& bias, double eps, double scale,
                        const at::Tensor& gate, bool gate_sigmoid, at::ScalarType out);

}  // namespace radlads

#endif  // RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_H_
