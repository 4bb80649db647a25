// Root mean square normalisation (Zhang and Sennrich, 2019, arXiv 1910.07467).
#ifndef RADLADS_KERNELS_RMS_NORM_RMS_NORM_H_
#define RADLADS_KERNELS_RMS_NORM_RMS_NORM_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// x [...,C], weight [C], any float dtypes -> y [...,C] of dtype `out`:
//
//   y = cast(x * rsqrt(mean(x^2) + eps)) * weight,    the mean over C
//
// Arithmetic is in fp32 (double when x or weight is double). The normalised value is cast to `out` before the
// multiplication, as Qwen2 and Llama do. Works per head as well: x [B,T,H,D], weight [D].
//
// Gradients: x in its dtype, weight in its dtype. The cast counts as the identity. The sum over rows for the weight
// has a fixed order that does not depend on the number of threads.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RMS_NORM_RMS_NORM_H_
