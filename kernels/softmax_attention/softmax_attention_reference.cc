#include "kernels/softmax_attention/softmax_attention_reference.h"

#include <ATen/ATen.h>

namespace radlads {
namespace {

// [B,S,KV,D] -> [B,H,S,D]
at::Tensor ForEachHead(const at::Tensor& x, int64_t heads) {
  const int64_t group = heads / x.size(2);
  if (group == 1) return x.transpose(1, 2);
  return x.unsqueeze(3)
      .expand({-1, -1, -1, group, -1})
      .reshape({x.size(0), x.size(1), heads, x.size(3)})
      .transpose(1, 2);
}

}  // namespace

at::Tensor SoftmaxAttentionReference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                     const at::Tensor& first) {
  const int64_t time = q.size(1), keys = k.size(1), heads = q.size(2);
  const bool causal = keys == time && !first.defined() && time > 1;
  std::optional<at::Tensor> allowed;
  if (!causal && (time > 1 || first.defined())) {
    const at::Tensor key = at::arange(keys, q.options().dtype(at::kLong));
    allowed = key.le(at::arange(keys - time, keys, key.options()).unsqueeze(1));  // [T,S]
    if (first.defined()) allowed = allowed->logical_and(key.ge(first.unsqueeze(2))).unsqueeze(1);
  }
  return at::scaled_dot_product_attention(q.transpose(1, 2), ForEachHead(k, heads), ForEachHead(v, heads), allowed,
                                          /*dropout_p=*/0.0, causal, scale)
      .transpose(1, 2)
      .contiguous();
}

}  // namespace radlads
