// Everything that RAD-RWKV7 does between its projections and its recurrence, in one pass over memory.
//
// RWKV-7: Peng et al., 2025, arXiv 2503.14456. RAD-RWKV7: Goldstein et al., 2025 (RADLADS), arXiv 2505.03005.
// A = H*D is the width of the mixer; query head h reads key and value head h / (H/KV).
#ifndef RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_H_
#define RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_H_

#include <ATen/core/Tensor.h>

#include <optional>

namespace radlads {

// Outputs of the projections, all of one dtype (fp32, bf16 or double).
struct Rwkv7Logits {
  at::Tensor q;        // [B,T,H,D]
  at::Tensor k, v;     // [B,T,KV,D]
  at::Tensor w, a;     // [B,T,A], the low-rank parts: without w0 and a0
  at::Tensor v_mix;    // [B,T,A], without v0; undefined in layer 0
  at::Tensor v_first;  // [B,T,H,D], `v` of layer 0; undefined in layer 0
};

// A elements each, any shape ([1,1,A] say) and float dtype. v0 is read where v_mix is defined, k_k and k_a where
// the state is not balanced; those that are not read may be undefined and get no gradient or zero.
struct Rwkv7Parameters {
  at::Tensor w0, a0, v0, k_k, k_a;
};

// What Wkv7 takes, [B,T,H,D]: log_w fp32, the others of one dtype (double for double, all of them).
struct Rwkv7Operands {
  at::Tensor r, log_w, k, v, a, b;
};

// cos, sin [T,D] or [B,T,D] rotate q and k; both undefined: no rotary embedding. With k after rotation:
//
//   log_w = -e^-0.5 * sigmoid(w0 + w)         in (-0.6066, 0)
//   iclr  = sigmoid(a0 + a)
//   balance_state: kk = k / max(||k||, 1e-12),              k' = k * (1 - exp(log_w) + iclr)
//   otherwise:     kk = k*k_k / max(||k*k_k||, 1e-12),      k' = k * (1 + (iclr - 1) * k_a)
//   v'    = v in layer 0, else v + (v_first - v) * sigmoid(v0 + v_mix)
//   r = q,  a = -kk,  b = kk * iclr           norms are per head
//
// Gradients: to all logits (k and v summed over the heads that read them), v_first and the parameters; sums over
// rows have a fixed order that does not depend on the number of threads. Nothing but the arguments is saved.
// `output_type` is that of r, k, v, a, b: fp32 (also where absent) or bf16.
Rwkv7Operands Rwkv7Prepare(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                           const at::Tensor& sin, bool balance_state,
                           std::optional<at::ScalarType> output_type = std::nullopt);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_H_
