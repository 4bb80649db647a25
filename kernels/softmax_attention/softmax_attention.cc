#include "kernels/softmax_attention/softmax_attention.h"

#include <ATen/ATen.h>

#include "base/status.h"
#include "kernels/softmax_attention/softmax_attention_cpu.h"
#include "kernels/softmax_attention/softmax_attention_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

// The last dimension contiguous.
at::Tensor WithRows(const at::Tensor& x) {
  return x.size(3) <= 1 || x.stride(3) == 1 ? x : x.contiguous();
}

AttentionOperand Operand(const at::Tensor& x) {
  return {
      .data = x.const_data_ptr(), .batch_stride = x.stride(0), .time_stride = x.stride(1), .head_stride = x.stride(2)};
}

void CheckBounds(const SoftmaxAttentionArguments& p) {
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t length = p.length(b);
    RADLADS_CHECK(length >= p.time && length <= p.keys)
        << "CausalSoftmaxAttention: row " << b << " has " << length << " keys, of " << p.keys << " for " << p.time
        << " queries";
    for (int64_t t = 0; p.first != nullptr && t < p.time; ++t) {
      const int64_t token = length - p.time + t, first = p.first[b * p.time + t];
      RADLADS_CHECK(first >= 0 && first <= token) << "CausalSoftmaxAttention: query " << t << " of row " << b
                                                  << " is token " << token << " and cannot see tokens from " << first;
    }
  }
}

at::Tensor Fused(const at::Tensor& q_given, const at::Tensor& k_given, const at::Tensor& v_given,
                 double scale, const at::Tensor& first_given, const at::Tensor& lengths_given) {
  const at::Tensor q = WithRows(q_given.detach()), k = WithRows(k_given.detach()), v = WithRows(v_given.detach());
  const at::Tensor first = first_given.defined() ? first_given.contiguous() : at::Tensor();
  const at::Tensor lengths = lengths_given.defined() ? lengths_given.contiguous() : at::Tensor();
  const at::Tensor y = at::empty(q.sizes(), q.options());
  const SoftmaxAttentionArguments arguments = {.batch = q.size(0),
                                               .time = q.size(1),
                                               .keys = k.size(1),
                                               .heads = q.size(2),
                                               .kv_heads = k.size(2),
                                               .head_dim = q.size(3),
                                               .q = Operand(q),
                                               .k = Operand(k),
                                               .v = Operand(v),
                                               .first = first.defined() ? first.const_data_ptr<int64_t>() : nullptr,
                                               .scale = static_cast<float>(scale),
                                               .bf16 = q.scalar_type() == at::kBFloat16,
                                               .lengths = lengths.defined() ? lengths.const_data_ptr<int64_t>() : nullptr};
  CheckBounds(arguments);
  SoftmaxAttentionCpu(arguments, y.mutable_data_ptr());
  return y;
}

}  // namespace

at::Tensor CausalSoftmaxAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                  const at::Tensor& first, bool differentiable, const at::Tensor& lengths) {
  RADLADS_CHECK(q.dim() == 4 && k.dim() == 4 && v.sizes() == k.sizes() && q.size(0) == k.size(0) &&
                q.size(1) <= k.size(1) && q.size(3) == k.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0)
      << "CausalSoftmaxAttention: q " << q.sizes() << " must be [B,T,H,D], k " << k.sizes() << " and v " << v.sizes()
      << " [B,S,KV,D] with T <= S and KV dividing H";
  RADLADS_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type())
      << "CausalSoftmaxAttention: q, k and v must be of one dtype, got " << q.scalar_type() << ", " << k.scalar_type()
      << " and " << v.scalar_type();
  RADLADS_CHECK(scale > 0) << "CausalSoftmaxAttention: scale must be above 0, got " << scale;
  RADLADS_CHECK(!first.defined() || (first.sizes() == q.sizes().slice(0, 2) && first.scalar_type() == at::kLong))
      << "CausalSoftmaxAttention: q " << q.sizes() << " needs first [B,T] of int64, got " << first.scalar_type()
      << first.sizes();
  RADLADS_CHECK(!lengths.defined() || (lengths.sizes() == q.sizes().slice(0, 1) && lengths.scalar_type() == at::kLong))
      << "CausalSoftmaxAttention: q " << q.sizes() << " needs lengths [B] of int64, got " << lengths.scalar_type()
      << lengths.sizes();
  if (q.numel() == 0) return at::empty(q.sizes(), q.options());
  // LibTorch's attention where gradients are recorded, or will be.
  const bool fused = !differentiable && FusedPathApplies({q, k, v}) && !RecordsGradient({q, k, v});
  return fused ? Fused(q, k, v, scale, first, lengths)
               : SoftmaxAttentionReference(q, k, v, scale, first, lengths);
}

}  // namespace radlads
