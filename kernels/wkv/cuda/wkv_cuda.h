// The recurrences wkv6 and wkv7 on CUDA: plain pointers and a stream; wkv6.h and wkv7.h have the
// contract.
//
// Two paths:
//
// Recurrent: any shape, fp32, one token after the other, the exact counterpart of the CPU's. For
// inputs in fp32, for shapes that the other does not take, and for decoding.
//
// Chunked: bf16 inputs, K = V in {64, 128}. Chunks of 32 tokens become matrix products of bf16
// operands with fp32 sums (sec. "Chunked form" of docs/kernels.md has the formulas); the state
// stays in fp32 registers through a head's whole sequence. Each block of threads owns one row and
// head, so there are no atomics and results are the same in every run.
//   - log_w below kMinChunkedLogDecay counts as that; its gradient is that of the clamped value.
//   - NaN and infinity at a token may also reach earlier outputs of its chunk, never another row,
//   head or earlier chunk.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_WKV_CUDA_WKV_CUDA_H_
#define RADLADS_KERNELS_WKV_CUDA_WKV_CUDA_H_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"
#include "kernels/wkv/shape.h"

namespace radlads::cuda {

inline constexpr int kWkvChunkTokens = 32;
// The gated operands of a chunk reach 2^(-log2(e) * log_w * (kWkvChunkTokens / 2 + 1)), which must
// stay below 2^124.
inline constexpr float kMinChunkedLogDecay = -5.05f;

// All contiguous. a and b are both null for wkv6.
struct WkvRecurrentInputs {
  WkvShape shape;
  const float *r, *log_w, *k, *v, *a, *b;
  float scale;
  const float* initial_state;  // null: zero
  const uint8_t* reset;        // null: nowhere
};

struct WkvRecurrentGradients {
  // In. Null: zero.
  const float *output, *final_state;
  // Out.
  float *r, *log_w, *k, *v, *a, *b;
  float* initial_state;  // null: not wanted
};

// Floats that the forward pass leaves for the backward pass (the state before every
// kWkvReplayTokens-th token), and floats of scratch memory that the backward pass needs.
inline constexpr int kWkvReplayTokens = 16;
size_t WkvRecurrentCheckpointSize(const WkvShape& shape);
size_t WkvRecurrentScratchSize(const WkvShape& shape);

// `checkpoints` null: no backward pass will follow. `final_state` [B,H,K,V] may be the memory of
// `in.initial_state`.
Error WkvRecurrentForward(const WkvRecurrentInputs& in, float* output, float* final_state,
                          float* checkpoints, Stream stream);
Error WkvRecurrentBackward(const WkvRecurrentInputs& in, const float* checkpoints,
                           const WkvRecurrentGradients& gradients, float* scratch, Stream stream);

// All contiguous. a and b are both null for wkv6.
struct WkvChunkedInputs {
  WkvShape shape;
  const Bf16 *r, *k, *v, *a, *b;
  const float* log_w;
  float scale;
  const float* initial_state;  // null: zero
  const uint8_t* reset;        // null: nowhere
};

// What the forward pass leaves for the backward pass, besides its inputs.
struct WkvChunkedSaved {
  Bf16* states;   // [B,H,chunks,V,K], before each chunk
  Bf16* updates;  // u [B,T,H,V]; null for wkv6
};

struct WkvChunkedGradients {
  // In. Null: zero.
  const Bf16* output;
  const float* final_state;
  // Scratch: dL/d(state after each chunk) [B,H,chunks,V,K], and y [B,T,H,V] (null for wkv6).
  Bf16 *d_states, *y;
  // Out.
  Bf16 *r, *k, *v, *a, *b;
  float* log_w;
  float* initial_state;  // null: not wanted
};

constexpr int64_t WkvChunks(int64_t time) {
  return (time + kWkvChunkTokens - 1) / kWkvChunkTokens;
}
bool WkvChunkedTakes(const WkvShape& shape);

// `saved.states` null: no backward pass will follow. `final_state` fp32 [B,H,K,V].
Error WkvChunkedForward(const WkvChunkedInputs& in, Bf16* output, float* final_state,
                        const WkvChunkedSaved& saved, Stream stream);
Error WkvChunkedBackward(const WkvChunkedInputs& in, const WkvChunkedSaved& saved,
                         const WkvChunkedGradients& gradients, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_WKV_CUDA_H_
