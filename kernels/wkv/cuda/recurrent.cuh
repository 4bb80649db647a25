// The recurrence of wkv7.h token by token, in fp32, for any K, V and T. A block owns 32 columns of
// the values of one row and head; its warps share the channels of the keys between them and hold
// the state in shared memory. The backward kernel replays kWkvReplayTokens tokens from a checkpoint
// into scratch memory and reverses them; sums over the columns of several blocks are left to a
// third kernel, in a fixed order.
#ifndef RADLADS_KERNELS_WKV_CUDA_RECURRENT_CUH_
#define RADLADS_KERNELS_WKV_CUDA_RECURRENT_CUH_

#include "kernels/cuda/device.cuh"
#include "kernels/wkv/cuda/wkv_cuda.h"

namespace radlads::cuda {

inline constexpr int kColumns = 32, kRecurrentWarps = 4, kRecurrentThreads = 32 * kRecurrentWarps;

constexpr int64_t ColumnSlices(const WkvShape& shape) {
  return (shape.value_dim + kColumns - 1) / kColumns;
}
constexpr int64_t ReplayChunks(const WkvShape& shape) {
  return (shape.time + kWkvReplayTokens - 1) / kWkvReplayTokens;
}

struct RecurrentForwardParameters {
  WkvRecurrentInputs in;
  float *output, *final_state, *checkpoints;
};

// `partial` points to the gradients of r, log_w, k, a, b by one slice of columns, one after the
// other, slice by slice; `states` to kWkvReplayTokens states [K, kColumns] for each block.
struct RecurrentBackwardParameters {
  WkvRecurrentInputs in;
  const float* checkpoints;
  WkvRecurrentGradients d;
  float *partial, *states;
};

inline size_t SharedBytes(int64_t K, int states) {
  return (states * K * kColumns + 5 * K + 2 * kRecurrentThreads) * sizeof(float);
}

// Shared memory and place of a block. The backward kernel keeps a second state behind what is named
// here.
template <bool kDelta>
struct RecurrentBlock {
  int K, warp;
  int64_t V, head, slice, column;  // head: row * H + head of the row
  bool inside;                     // whether this thread's column is one of V
  float* state;                    // [K, kColumns]
  float *r, *w, *k, *a, *b;        // of a token, [K]; w is e^log_w
  float* sums;                     // [2, kRecurrentWarps, kColumns]

  __device__ explicit RecurrentBlock(const WkvRecurrentInputs& in)
      : K(static_cast<int>(in.shape.key_dim)), warp(UniformWarp()), V(in.shape.value_dim) {
    const int64_t slices = ColumnSlices(in.shape);
    head = BlockX() / slices;
    slice = BlockX() % slices;
    column = slice * kColumns + Lane();
    inside = column < V;
    state = reinterpret_cast<float*>(SharedMemory());
    r = state + K * kColumns;
    w = r + K;
    k = w + K;
    a = k + K;
    b = a + K;
    sums = b + K;
  }

  // Of token t of this row and head in [B,T,H].
  __device__ int64_t Token(const WkvShape& shape, int64_t t) const {
    return (head / shape.heads * shape.time + t) * shape.heads + head % shape.heads;
  }
  __device__ bool ResetAt(const WkvRecurrentInputs& in, int64_t t) const {
    return in.reset != nullptr && in.reset[head / in.shape.heads * in.shape.time + t] != 0;
  }
  __device__ float& State(int i) const { return state[i * kColumns + Lane()]; }

  // A state [K,V] of this head from and to global memory; null: zero.
  __device__ void LoadState(const float* from) const {
    for (int i = warp; i < K; i += kRecurrentWarps)
      StoreShared(&State(i), from != nullptr && inside ? from[i * V + column] : 0.0f);
  }
  __device__ void SaveState(float* to) const {
    for (int i = warp; i < K; i += kRecurrentWarps) {
      if (inside) to[i * V + column] = LoadShared(&State(i));
    }
  }
  // Every thread touches only channels of its warp and its own column, so the state needs no
  // barriers.
  __device__ void ClearState() const {
    for (int i = warp; i < K; i += kRecurrentWarps) StoreShared(&State(i), 0.0f);
  }

  // The operands of token t, between barriers.
  __device__ void LoadToken(const WkvRecurrentInputs& in, int64_t t) const {
    SyncThreads();
    const int64_t key = Token(in.shape, t) * K;
    for (int i = ThreadIndex(); i < K; i += kRecurrentThreads) {
      StoreShared(r + i, in.scale * in.r[key + i]);
      StoreShared(w + i, Exp(in.log_w[key + i]));
      StoreShared(k + i, in.k[key + i]);
      if (!kDelta) continue;
      StoreShared(a + i, in.a[key + i]);
      StoreShared(b + i, in.b[key + i]);
    }
    SyncThreads();
  }

  // The sum of x over warps, for each column; `which` of two places in shared memory.
  __device__ float SumOverWarps(float x, int which) const {
    float* place = sums + which * kRecurrentThreads;
    StoreShared(place + ThreadIndex(), x);
    SyncThreads();
    float sum = 0;
    for (int i = 0; i < kRecurrentWarps; ++i) sum += LoadShared(place + i * 32 + Lane());
    return sum;
  }

  // a^T h, of the state as it stands.
  __device__ float RemovedValue() const {
    if (!kDelta) return 0;
    float sum = 0;
    for (int i = warp; i < K; i += kRecurrentWarps)
      sum += LoadShared(a + i) * LoadShared(&State(i));
    return SumOverWarps(sum, 0);
  }
  // Moves the state past the token; returns this warp's part of the output.
  __device__ float Step(float value, float removed) const {
    float sum = 0;
    for (int i = warp; i < K; i += kRecurrentWarps) {
      float h = LoadShared(w + i) * LoadShared(&State(i)) + LoadShared(k + i) * value;
      if (kDelta) h += LoadShared(b + i) * removed;
      StoreShared(&State(i), h);
      sum += LoadShared(r + i) * h;
    }
    return sum;
  }
};

template <bool kDelta>
__global__ void __launch_bounds__(kRecurrentThreads)
    WkvRecurrentForwardKernel(RecurrentForwardParameters p) {
  const RecurrentBlock<kDelta> block(p.in);
  const int64_t K = block.K, V = block.V, chunks = ReplayChunks(p.in.shape);
  block.LoadState(p.in.initial_state == nullptr ? nullptr
                                                : p.in.initial_state + block.head * K * V);
  for (int64_t t = 0; t < p.in.shape.time; ++t) {
    if (p.checkpoints != nullptr && t % kWkvReplayTokens == 0)
      block.SaveState(p.checkpoints + (block.head * chunks + t / kWkvReplayTokens) * K * V);
    if (block.ResetAt(p.in, t)) block.ClearState();
    block.LoadToken(p.in, t);
    const int64_t at = block.Token(p.in.shape, t) * V + block.column;
    const float value = block.inside ? p.in.v[at] : 0.0f, removed = block.RemovedValue();
    const float output = block.SumOverWarps(block.Step(value, removed), 1);
    if (block.warp == 0 && block.inside) p.output[at] = output;
  }
  block.SaveState(p.final_state + block.head * K * V);
}

__device__ __forceinline__ float SumOverLanes(float x) {
  for (int mask = 16; mask > 0; mask /= 2) x += ShuffleXor(x, mask);
  return x;
}

template <bool kDelta>
__global__ void __launch_bounds__(kRecurrentThreads)
    WkvRecurrentBackwardKernel(RecurrentBackwardParameters p) {
  const RecurrentBlock<kDelta> block(p.in);
  const WkvShape& shape = p.in.shape;
  const int K = block.K;
  const int64_t V = block.V, chunks = ReplayChunks(shape);
  float* d_state = block.sums + 2 * kRecurrentThreads;  // [K, kColumns]
  // As the state, an element of this is only ever touched by one thread, so global memory needs no
  // barrier either.
  float* states = p.states + BlockX() * kWkvReplayTokens * K * kColumns + Lane();
  const int64_t keys = static_cast<int64_t>(shape.keys());
  float* partial = p.partial + block.slice * 5 * keys;

  for (int i = block.warp; i < K; i += kRecurrentWarps) {
    const float* last = p.d.final_state;
    StoreShared(d_state + i * kColumns + Lane(), last != nullptr && block.inside
                                                     ? last[(block.head * K + i) * V + block.column]
                                                     : 0.0f);
  }
  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const int64_t first = chunk * kWkvReplayTokens;
    const int64_t end =
        first + kWkvReplayTokens < shape.time ? first + kWkvReplayTokens : shape.time;
    block.LoadState(p.checkpoints + (block.head * chunks + chunk) * K * V);
    for (int64_t t = first; t < end; ++t) {
      if (block.ResetAt(p.in, t)) block.ClearState();
      for (int i = block.warp; i < K; i += kRecurrentWarps)
        states[((t - first) * K + i) * kColumns] = LoadShared(&block.State(i));
      block.LoadToken(p.in, t);
      const float value = block.inside ? p.in.v[block.Token(shape, t) * V + block.column] : 0.0f;
      block.Step(value, block.RemovedValue());
    }

    for (int64_t t = end - 1; t >= first; --t) {
      block.LoadToken(p.in, t);
      const int64_t token = block.Token(shape, t), at = token * V + block.column;
      const float* before = states + (t - first) * K * kColumns;
      const float value = block.inside ? p.in.v[at] : 0.0f;
      const float d_output = p.d.output != nullptr && block.inside ? p.d.output[at] : 0.0f;
      float removed = 0;
      if (kDelta) {
        for (int i = block.warp; i < K; i += kRecurrentWarps)
          removed += LoadShared(block.a + i) * before[i * kColumns];
        removed = block.SumOverWarps(removed, 0);
      }
      float d_value = 0, d_removed = 0;
      for (int i = block.warp; i < K; i += kRecurrentWarps) {
        const float h = before[i * kColumns], w = LoadShared(block.w + i),
                    k = LoadShared(block.k + i);
        const float b = kDelta ? LoadShared(block.b + i) : 0.0f;
        const float after = w * h + k * value + b * removed;
        float& d_h = d_state[i * kColumns + Lane()];
        const float gradient = LoadShared(&d_h) + LoadShared(block.r + i) * d_output;
        StoreShared(&d_h, gradient);
        d_value += gradient * k;
        d_removed += gradient * b;
        const float d_r = SumOverLanes(after * d_output), d_log_w = SumOverLanes(gradient * h),
                    d_k = SumOverLanes(gradient * value);
        float d_b = 0;
        if (kDelta) d_b = SumOverLanes(gradient * removed);
        // Lane n writes to the nth of r, log_w, k, a, b.
        const float own = Lane() == 0   ? p.in.scale * d_r
                          : Lane() == 1 ? w * d_log_w
                          : Lane() == 2 ? d_k
                                        : d_b;
        if (Lane() < 3 || (kDelta && Lane() == 4)) partial[Lane() * keys + token * K + i] = own;
      }
      d_value = block.SumOverWarps(d_value, 1);
      if (block.warp == 0 && block.inside) p.d.v[at] = d_value;
      if (kDelta) d_removed = block.SumOverWarps(d_removed, 0);
      const bool reset = block.ResetAt(p.in, t);
      for (int i = block.warp; i < K; i += kRecurrentWarps) {
        float& d_h = d_state[i * kColumns + Lane()];
        float gradient = LoadShared(block.w + i) * LoadShared(&d_h);
        if (kDelta) {
          gradient += LoadShared(block.a + i) * d_removed;
          const float d_a = SumOverLanes(before[i * kColumns] * d_removed);
          if (Lane() == 0) partial[3 * keys + token * K + i] = d_a;
        }
        StoreShared(&d_h, reset ? 0.0f : gradient);
      }
    }
  }
  if (p.d.initial_state == nullptr || !block.inside) return;
  for (int i = block.warp; i < K; i += kRecurrentWarps)
    p.d.initial_state[(block.head * K + i) * V + block.column] =
        LoadShared(d_state + i * kColumns + Lane());
}

// Adds the slices' parts of the gradients of the keys.
__global__ void __launch_bounds__(256) WkvRecurrentSumKernel(RecurrentBackwardParameters p) {
  const int64_t keys = static_cast<int64_t>(p.in.shape.keys()),
                i = BlockX() * BlockThreads() + ThreadIndex();
  if (i >= keys) return;
  float* const outputs[] = {p.d.r, p.d.log_w, p.d.k, p.d.a, p.d.b};
#pragma unroll
  for (int which = 0; which < 5; ++which) {
    if (outputs[which] == nullptr) continue;
    float sum = 0;
    for (int64_t slice = 0; slice < ColumnSlices(p.in.shape); ++slice)
      sum += p.partial[(slice * 5 + which) * keys + i];
    outputs[which][i] = sum;
  }
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_RECURRENT_CUH_
