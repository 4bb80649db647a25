// radlads::wkv6, the recurrence of wkv6.h as a torch operator with autograd.
#ifndef RADLADS_KERNELS_WKV6_WKV6_OP_H_
#define RADLADS_KERNELS_WKV6_WKV6_OP_H_

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

namespace radlads {

// q, log_w, k [B,T,H,K]; v [B,T,H,V]; initial_state [B,H,K,V] (absent: zero); reset [B,T] bool or
// uint8 (absent: nowhere). Any strides. Returns (output [B,T,H,V], final_state [B,H,K,V]).
//
// All float64: computed in float64 by the reference (slow). Otherwise float32, bfloat16 and float16 in any mixture:
// computed in float32, final_state float32, output float32 or bfloat16 as `output_type` says (absent: float32). float32
// and bfloat16 are read where they stand if the last dimension is contiguous, heads that share rows (expand) included;
// others are copied. Gradients have the dtype of their input, and reach all inputs but reset; the gradient of
// final_state is taken too. Not twice differentiable. Wrong shapes or dtypes throw c10::Error.
//
// initial_state is not changed, unless it is moved in and no one else holds it: without gradient, it is then
// overwritten and returned as final_state, which halves the time of a token of many sequences.
std::pair<at::Tensor, at::Tensor> Wkv6(const at::Tensor& q, const at::Tensor& log_w, const at::Tensor& k,
                                       const at::Tensor& v, double scale, std::optional<at::Tensor> initial_state,
                                       const std::optional<at::Tensor>& reset,
                                       std::optional<at::ScalarType> output_type = std::nullopt);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV6_WKV6_OP_H_
