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
#ifndef RADLADS_KERNELS_WKV7_WKV7_H_
#define RADLADS_KERNELS_WKV7_WKV7_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/wkv/arrays.h"

namespace radlads {

// r, log_w, k, a, b [B,T,H,K]; v [B,T,H,V]; scale; initial_state [B,H,K,V], empty: zero; reset [B,T], empty: nowhere.
template <typename T>
using Wkv7Inputs = WkvInputs<T>;

// output [B,T,H,V], final_state [B,H,K,V].
template <typename T>
using Wkv7Outputs = WkvOutputs<T>;

// dL/d(output), dL/d(final_state); empty: zero.
template <typename T>
using Wkv7OutputGradients = WkvOutputGradients<T>;

// Shaped as the inputs. Overwritten, not added to. initial_state may be empty: not wanted.
template <typename T>
using Wkv7Gradients = WkvGradients<T>;

// Number of floats that Wkv7Forward leaves for Wkv7Backward: the state before every 32nd token, in
// a layout of its own.
size_t Wkv7CheckpointSize(const WkvShape& shape);

// `checkpoints` has Wkv7CheckpointSize(shape) elements, or none when no backward pass will follow.
void Wkv7Forward(const WkvShape& shape, const Wkv7Inputs<float>& in, const Wkv7Outputs<float>& out,
                 std::span<float> checkpoints);

// `in` and `checkpoints` are those of the forward pass. States are replayed from the checkpoints
// and the recurrence is then reversed exactly (no division by w).
void Wkv7Backward(const WkvShape& shape, const Wkv7Inputs<float>& in, std::span<const float> checkpoints,
                  const Wkv7OutputGradients<float>& d_out, const Wkv7Gradients<float>& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV7_WKV7_H_
