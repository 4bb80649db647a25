// The fused CPU path of Rwkv7Prepare on plain memory; shapes and formulas as in rwkv7_prepare.h.
#ifndef RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CPU_H_
#define RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CPU_H_

#include <cstdint>

namespace radlads {

// All arrays are contiguous. Logits are bf16 if `bf16`, else fp32; r, k, v, a, b and v_first are bf16 if
// `results_bf16`, else fp32; everything else is fp32.
struct Rwkv7PrepareArguments {
  int64_t batch, time, heads, kv_heads, head_dim;
  bool bf16, results_bf16, balance_state;
  const void *q, *k, *v, *w, *a;
  const void* v_mix;                      // null in layer 0
  const void* v_first;                    // null in layer 0
  const float *cos, *sin;                 // null: no rotation
  bool tables_per_batch;                  // [B,T,D] rather than [T,D]
  const float *w0, *a0, *v0, *k_k, *k_a;  // [A]; null where not read
};

struct Rwkv7PrepareResults {
  void *r, *k, *v, *a, *b;
  float* log_w;
};

// Gradients of the results in, gradients of the arguments out; each has the dtype of what it belongs to.
struct Rwkv7PrepareGradients {
  const void *r, *k, *v, *a, *b;
  const float* log_w;
  void *dq, *dk, *dv, *dw, *da;
  void* dv_mix;                          // null in layer 0
  void* dv_first;                        // null in layer 0
  float *dw0, *da0, *dv0, *dk_k, *dk_a;  // [A] each, always written; zero where not read
};

void Rwkv7PrepareForwardCpu(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareResults& results);
void Rwkv7PrepareBackwardCpu(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareGradients& gradients);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_CPU_H_
