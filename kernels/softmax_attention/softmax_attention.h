// Causal softmax attention (Vaswani et al., 2017, arXiv 1706.03762) with grouped queries (Ainslie et al., 2023,
// arXiv 2305.13245).
#ifndef RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_H_
#define RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// q [B,T,H,D]; k, v [B,S,KV,D], of one float dtype; any strides; T <= S, KV divides H -> [B,T,H,D], contiguous, in that
// dtype:
//
//   y[t] = sum over s of softmax(scale * q[t] . k[s]) v[s],    first[t] <= s <= S - T + t
//
// The queries are the last T of S tokens; head h reads kv head h / (H / KV). `first` [B,T] int64 is the first token
// that each query sees (its document's, or that of a window), 0 <= first[t] <= S - T + t; undefined: 0.
// scale > 0. T = 0 is allowed. With `lengths` [B] int64, T <= lengths[b] <= S, a row has so many keys, and the rest of S
// is never looked at: S is lengths[b] in all that is said of row b.
//
// Which path: without gradients to record, on CPU, fp32 and bf16 go to kernels of ours that keep scores, softmax and sums
// in fp32 and copy no keys for the heads of a group; bf16 with AVX-512 BF16 and T * H / KV > 8 to one that rounds weights
// to bf16 before they meet the values. Everything else is at::scaled_dot_product_attention: all that records gradients,
// and all that is called with `differentiable`, because it will run again and record them.
// Measured beside it on one thread of an AMD Zen 4 (softmax_attention_benchmark): bf16 4.4 times as fast at T = S =
// 512, 2.7 times at 2048, 3.1 times at T = 64 after a prefix; single tokens 19 to 42 times in bf16, 7 to 21 times in
// fp32; fp32 2.1 times at T = S = 512, 1.5 times at T = 64 after a prefix.
//
// What our kernels give does not depend on the number of threads (LibTorch's may), and in fp32 a query gets the same
// bits whichever other queries, rows and later keys there are. NaN or infinity in a query reaches that query's head
// only; in a key, the queries that see it; in a value, those that see it and, as 0 * NaN, may reach others of its head.
at::Tensor CausalSoftmaxAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                  const at::Tensor& first, bool differentiable = false,
                                  const at::Tensor& lengths = {});

}  // namespace radlads

#endif  // RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_H_
