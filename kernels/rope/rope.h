// Rotary position embedding (Su et al., 2021, arXiv 2104.09864) in the half-split layout of Llama and Qwen2.
#ifndef RADLADS_KERNELS_ROPE_ROPE_H_
#define RADLADS_KERNELS_ROPE_ROPE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// x [B,T,H,D], D even; cos, sin [T,D] or [B,T,D] -> [B,T,H,D] of x's dtype:
//
//   y = x * cos + rotate_half(x) * sin,    rotate_half(x) = concat(-x[D/2:], x[:D/2])
//
// Arithmetic is in fp32 (double when an argument is double). The tables get no gradient.
at::Tensor Rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace radlads

#endif  // RADLADS_KERNELS_ROPE_ROPE_H_
