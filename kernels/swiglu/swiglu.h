// The gated activation of Llama's and Qwen2's feed-forward layers (Shazeer, 2020, arXiv 2002.05202).
#ifndef RADLADS_KERNELS_SWIGLU_SWIGLU_H_
#define RADLADS_KERNELS_SWIGLU_SWIGLU_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// silu(gate) * up, elementwise; gate and up have one shape and one float dtype, the result too.
// Arithmetic is in fp32 (double for double), rounded once. silu(x) = x * sigmoid(x).
at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace radlads

#endif  // RADLADS_KERNELS_SWIGLU_SWIGLU_H_
