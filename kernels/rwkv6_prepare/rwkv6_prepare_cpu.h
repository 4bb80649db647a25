// Everything that RAD-RWKV6 does between its projections and its recurrence, for inference on the CPU.
//
// RWKV-6: Peng et al., 2024, arXiv 2404.05892. RAD-RWKV6: Goldstein et al., 2025 (RADLADS), arXiv 2505.03005.
// A = H*D is the width of the mixer; query head h reads key and value head h / (H/KV).
#ifndef RADLADS_KERNELS_RWKV6_PREPARE_RWKV6_PREPARE_CPU_H_
#define RADLADS_KERNELS_RWKV6_PREPARE_RWKV6_PREPARE_CPU_H_

#include <cstdint>

namespace radlads {

// Contiguous. k and v [rows, KV*D] after rotation and low [rows, A], the low-rank part of the decay, are bf16 if `bf16`,
// else fp32; w0 [A], the decay's bias, is fp32.
struct Rwkv6PrepareArguments {
  int64_t rows, heads, kv_heads, head_dim;
  bool bf16, balance_state;
  const void *k, *v, *low;
  const float* w0;
};

// [rows, A] fp32 each:
//   log_w = max(-exp(w0 + low), -5)       RADLADS never lets the recurrence see a stronger decay
//   k     = k of the head, times 1 - exp(log_w) where the state is balanced
//   v     = v of the head
struct Rwkv6PrepareResults {
  float *log_w, *k, *v;
};

void Rwkv6PrepareForwardCpu(const Rwkv6PrepareArguments& arguments, const Rwkv6PrepareResults& results);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RWKV6_PREPARE_RWKV6_PREPARE_CPU_H_
