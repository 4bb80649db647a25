#ifndef RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_REFERENCE_H_
#define RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_REFERENCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// CausalSoftmaxAttention through at::scaled_dot_product_attention: any float dtype and device, differentiable. Keys and
// values are copied for each head of a group, and where there are `lengths`, and a mask [B,1,T,S] is made unless plain causality will do.
at::Tensor SoftmaxAttentionReference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                     const at::Tensor& first, const at::Tensor& lengths = {});

}  // namespace radlads

#endif  // RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_REFERENCE_H_
