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
                                     const at::Tensor& first, const at::Tensor& lengths) {
  const int64_t time = q.size(1), keys = k.size(1), heads = q.size(2);
  const bool causal = keys == time && !first.defined() && !lengths.defined() && time > 1;
  std::optional<at::Tensor> allowed;
  if (!causal && (time > 1 || first.defined() || lengths.defined())) {
    const at::Tensor key = at::arange(keys, q.options().dtype(at::kLong));
    at::Tensor last = at::arange(-time, 0, key.options());  // of the end
    last = lengths.defined() ? last + lengths.unsqueeze(1) : last + keys;
    allowed = key.le(last.unsqueeze(-1));  // [T,S], or [B,T,S]
    if (first.defined()) allowed = allowed->logical_and(key.ge(first.unsqueeze(2)));
    if (allowed->dim() == 3) allowed = allowed->unsqueeze(1);
  }
  // What lies behind a row's keys may be anything, also NaN, which a mask does not hide.
  const auto of_heads = [&](const at::Tensor& x) {
    if (!lengths.defined()) return ForEachHead(x, heads);
    const at::Tensor beyond = at::arange(keys, lengths.options()).ge(lengths.unsqueeze(1));  // [B,S]
    return ForEachHead(x.masked_fill(beyond.unsqueeze(2).unsqueeze(3), 0), heads);
  };
  return at::scaled_dot_product_attention(q.transpose(1, 2), of_heads(k), of_heads(v), allowed,
                                          /*dropout_p=*/0.0, causal, scale)
      .transpose(1, 2)
      .contiguous();
}

}  // namespace radlads
