// WKV7: the recurrence of RWKV-7 (a generalised delta rule; arXiv 2503.14456) on contiguous CPU
// memory.
//
//   h_t = diag(w_t) h_{t-1} + b_t (a_t^T h_{t-1}) + k_t v_t^T        state h [K,V], w = exp(log_w)
//   o_t = scale * r_t^T h_t
//
// for every row and head by itself. Shapes are those of WkvShape: any B, T, H, K, V, zero included.
// `reset[b,t]` != 0 puts the state to zero before token t (a document begins): what follows is bit
// for bit what a call that starts there without an initial state gives, and no gradient crosses.
//
// Exactness. The float functions add in a fixed order, with fused multiply-add where the machine has it. Their results do not
// depend on the number of threads or on the other rows and heads of the batch, bit for bit; the
// forward pass gives the same bits however a sequence is cut into calls that carry the state.
// Different instruction sets may differ in the last bits.
//
// NaN and infinity at a token reach the outputs of that token and of later tokens of that row and
// head up to the next reset, and gradients of that row and head only. log_w of -infinity is a decay
// of exactly 0. log_w > 0 is not refused.
//
// Input and output spans must not overlap. A span of a wrong size is the caller's mistake and
// aborts. Thread-safe.
#ifndef RADLADS_KERNELS_WKV7_WKV7_H_
#define RADLADS_KERNELS_WKV7_WKV7_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/wkv/shape.h"

namespace radlads {

template <typename T>
struct Wkv7Inputs {
  std::span<const T> r, log_w, k;  // [B,T,H,K]
  std::span<const T> v;            // [B,T,H,V]
  std::span<const T> a, b;         // [B,T,H,K]
  double scale;
  std::span<const T> initial_state;  // [B,H,K,V]; empty: zero
  std::span<const uint8_t> reset;    // [B,T]; empty: nowhere
};

template <typename T>
struct Wkv7Outputs {
  std::span<T> output;       // [B,T,H,V]
  std::span<T> final_state;  // [B,H,K,V]
};

// dL/d(output), dL/d(final_state); empty: zero.
template <typename T>
struct Wkv7OutputGradients {
  std::span<const T> output;       // [B,T,H,V]
  std::span<const T> final_state;  // [B,H,K,V]
};

// Overwritten, not added to.
template <typename T>
struct Wkv7Gradients {
  std::span<T> r, log_w, k;    // [B,T,H,K]
  std::span<T> v;              // [B,T,H,V]
  std::span<T> a, b;           // [B,T,H,K]
  std::span<T> initial_state;  // [B,H,K,V]; empty: not wanted
};

// Number of floats that Wkv7Forward leaves for Wkv7Backward: the state before every 32nd token, in
// a layout of its own.
size_t Wkv7CheckpointSize(const WkvShape& shape);

// `checkpoints` has Wkv7CheckpointSize(shape) elements, or none when no backward pass will follow.
void Wkv7Forward(const WkvShape& shape, const Wkv7Inputs<float>& in, const Wkv7Outputs<float>& out,
                 std::span<float> checkpoints);

// `in` and `checkpoints` are those of the forward pass. States are replayed from the checkpoints
// and the recurrence is then reversed exactly (no division by w).
void Wkv7Backward(const WkvShape& shape, const Wkv7Inputs<float>& in,
                  std::span<const float> checkpoints, const Wkv7OutputGradients<float>& d_out,
                  const Wkv7Gradients<float>& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV7_WKV7_H_
