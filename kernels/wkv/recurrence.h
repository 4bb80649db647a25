// The float recurrence behind wkv6 and wkv7, forward and backward; wkv6.h and wkv7.h have the
// contract. wkv6 is wkv7 without the delta term: `a` and `b` are null, and its instructions are
// left out, not multiplied by zero.
//
// How: work items are heads, or V-slices of heads where heads alone would leave threads idle. An
// item goes through the sequence in chunks of kWkvChunk tokens, packs a chunk's rows (decay
// exponentiated, r scaled, tails padded), and runs the slices over it (recurrence_simd.h). Backward
// goes through the chunks from the last, replays the states of a chunk from its checkpoint into a
// buffer of the second-level cache, and reverses the recurrence over them. Sums over slices are
// taken slice by slice in ascending order, whichever thread computed them.
//
// Scratch memory is kept by each thread for its next call: about (kWkvChunk + 4) * K * 32 floats
// plus the rows.
#ifndef RADLADS_KERNELS_WKV_RECURRENCE_H_
#define RADLADS_KERNELS_WKV_RECURRENCE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/wkv/shape.h"

namespace radlads {

inline constexpr int64_t kWkvChunk = 32;

// All pointers to contiguous memory of the shapes in shape.h.
struct WkvProblem {
  WkvShape shape;
  const float *r, *log_w, *k, *v;
  const float *a, *b;  // both null: wkv6
  float scale;
  const float* initial_state;  // null: zero
  const uint8_t* reset;        // null: nowhere
};

// Null: zero.
struct WkvResultGradients {
  const float *output, *final_state;
};

struct WkvInputGradients {
  float *r, *log_w, *k, *v;
  float *a, *b;          // null for wkv6
  float* initial_state;  // null: not wanted
};

// Floats in the checkpoints of a forward pass: the state before each chunk.
size_t WkvCheckpointSize(const WkvShape& shape);

// `checkpoints` may be null.
void WkvForward(const WkvProblem& problem, float* output, float* final_state, float* checkpoints);

void WkvBackward(const WkvProblem& problem, const float* checkpoints, const WkvResultGradients& d_out,
                 const WkvInputGradients& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_RECURRENCE_H_
