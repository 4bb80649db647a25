// WKV6: gated linear attention with a decay for each key channel (the recurrence of RAD-RWKV6; GLA,
// arXiv 2312.06635) on contiguous CPU memory.
//
//   h_t = diag(w_t) h_{t-1} + k_t v_t^T        state h [K,V], w = exp(log_w)
//   o_t = scale * q_t^T h_t
//
// for every row and head by itself. Unlike RWKV-6 itself, token t reads its own k_t v_t^T,
// undecayed and without a bonus. Shapes are those of WkvShape: any B, T, H, K, V, zero included.
// `reset[b,t]` != 0 puts the state to zero before token t (a document begins): what follows is bit
// for bit what a call that starts there without an initial state gives, and no gradient crosses.
//
// Exactness. The float functions add in a fixed order, with fused multiply-add where the machine has it. Their results
// do not depend on the number of threads or on the other rows and heads of the batch, bit for bit; the forward pass
// gives the same bits however a sequence is cut into calls that carry the state. Different instruction sets may differ
// in the last bits.
//
// NaN and infinity at a token reach the outputs of that token and of later tokens of that row and
// head up to the next reset, and gradients of that row and head only. log_w of -infinity is a decay
// of exactly 0. log_w > 0 is not refused.
//
// Input and output spans must not overlap. A span of a wrong size is the caller's mistake and
// aborts. Thread-safe.
#ifndef RADLADS_KERNELS_WKV6_WKV6_H_
#define RADLADS_KERNELS_WKV6_WKV6_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/wkv/arrays.h"

namespace radlads {

template <typename T>
struct Wkv6Inputs {
  std::span<const T> q, log_w, k;  // [B,T,H,K]
  std::span<const T> v;            // [B,T,H,V]
  double scale;
  std::span<const T> initial_state;  // [B,H,K,V]; empty: zero
  std::span<const uint8_t> reset;    // [B,T]; empty: nowhere

  // As the recurrence of kernels/wkv: wkv7 without the delta term.
  operator WkvInputs<T>() const { return {q, log_w, k, v, {}, {}, scale, initial_state, reset}; }
};

// output [B,T,H,V], final_state [B,H,K,V].
template <typename T>
using Wkv6Outputs = WkvOutputs<T>;

// dL/d(output), dL/d(final_state); empty: zero.
template <typename T>
using Wkv6OutputGradients = WkvOutputGradients<T>;

// Overwritten, not added to.
template <typename T>
struct Wkv6Gradients {
  std::span<T> q, log_w, k;    // [B,T,H,K]
  std::span<T> v;              // [B,T,H,V]
  std::span<T> initial_state;  // [B,H,K,V]; empty: not wanted

  operator WkvGradients<T>() const { return {q, log_w, k, v, {}, {}, initial_state}; }
};

// Number of floats that Wkv6Forward leaves for Wkv6Backward: the state before every 32nd token, in
// a layout of its own.
size_t Wkv6CheckpointSize(const WkvShape& shape);

// `checkpoints` has Wkv6CheckpointSize(shape) elements, or none when no backward pass will follow.
void Wkv6Forward(const WkvShape& shape, const Wkv6Inputs<float>& in, const Wkv6Outputs<float>& out,
                 std::span<float> checkpoints);

// `in` and `checkpoints` are those of the forward pass. States are replayed from the checkpoints
// and the recurrence is then reversed exactly (no division by w).
void Wkv6Backward(const WkvShape& shape, const Wkv6Inputs<float>& in, std::span<const float> checkpoints,
                  const Wkv6OutputGradients<float>& d_out, const Wkv6Gradients<float>& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV6_WKV6_H_
