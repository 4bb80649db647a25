// radlads::wkv7, the recurrence of wkv7.h as a torch operator with autograd, CPU.
#ifndef RADLADS_KERNELS_WKV7_WKV7_OP_H_
#define RADLADS_KERNELS_WKV7_WKV7_OP_H_

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

namespace radlads {

// r, log_w, k, a, b [B,T,H,K]; v [B,T,H,V]; initial_state [B,H,K,V] (absent: zero); reset [B,T]
// bool or uint8 (absent: nowhere). Any strides. Returns (output [B,T,H,V], final_state [B,H,K,V]).
//
// All float64: computed in float64 by the reference (slow). Otherwise float32, bfloat16 and float16
// in any mixture: computed in float32, results float32. Gradients have the dtype of their input,
// and reach all inputs but reset; the gradient of final_state is taken too. Not twice
// differentiable. Wrong shapes or dtypes throw c10::Error.
std::pair<at::Tensor, at::Tensor> Wkv7(const at::Tensor& r, const at::Tensor& log_w, const at::Tensor& k,
                                       const at::Tensor& v, const at::Tensor& a, const at::Tensor& b, double scale,
                                       const std::optional<at::Tensor>& initial_state,
                                       const std::optional<at::Tensor>& reset);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV7_WKV7_OP_H_
