// The float recurrence behind wkv6 and wkv7, forward and backward; wkv6.h and wkv7.h have the contract. wkv6 is wkv7
// without the delta term: `a` and `b` are null, and its instructions are left out, not multiplied by zero. Arrays may
// be fp32 or bf16 each for itself, at any strides; the state and all arithmetic are fp32.
//
// How: work items are heads, or V-slices of heads where heads alone would leave threads idle. An item goes through the
// sequence in chunks of kWkvChunk tokens, packs a chunk's rows (decay exponentiated, r scaled, tails padded) while the
// next chunk's are fetched into the cache, and runs the slices over it (recurrence_simd.h). Backward goes through the
// chunks from the last, replays the states of a chunk from its checkpoint into a buffer of the second-level cache, and
// reverses the recurrence over them. Sums over slices are taken slice by slice in ascending order, whichever thread
// computed them. A single token (decoding) passes over the state where it stands, unpacked.
//
// Threads write rows of different heads, or slices of 32 columns: 128 bytes of fp32, 64 of bf16, so that no two share a
// cache line unless V is odd or the caller's memory is not aligned.
//
// Scratch memory is kept by each thread for its next call: about (kWkvChunk + 4) * K * 32 floats plus the rows.
#ifndef RADLADS_KERNELS_WKV_RECURRENCE_H_
#define RADLADS_KERNELS_WKV_RECURRENCE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/wkv/rows.h"
#include "kernels/wkv/shape.h"

namespace radlads {

inline constexpr int64_t kWkvChunk = 32;

struct WkvProblem {
  WkvShape shape;
  WkvArray r, log_w, k;  // [B,T,H,K]
  WkvArray v;            // [B,T,H,V]
  WkvArray a, b;         // [B,T,H,K]; both absent: wkv6
  float scale;
  const float* initial_state;  // [B,H,K,V]; null: zero
  const uint8_t* reset;        // [B,T]; null: nowhere

  bool delta() const { return a.data != nullptr; }
};

// Absent: zero.
struct WkvResultGradients {
  WkvArray output;           // [B,T,H,V]
  const float* final_state;  // [B,H,K,V]
};

struct WkvInputGradients {
  WkvMutableArray r, log_w, k, v;
  WkvMutableArray a, b;  // absent for wkv6
  float* initial_state;  // null: not wanted
};

// Floats in the checkpoints of a forward pass: the state before each chunk.
size_t WkvCheckpointSize(const WkvShape& shape);

// `checkpoints` may be null.
void WkvForward(const WkvProblem& problem, const WkvMutableArray& output, float* final_state, float* checkpoints);

void WkvBackward(const WkvProblem& problem, const float* checkpoints, const WkvResultGradients& d_out,
                 const WkvInputGradients& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_RECURRENCE_H_
