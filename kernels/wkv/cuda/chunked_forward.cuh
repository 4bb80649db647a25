// The chunked recurrence forward: one block for a row and head, which it walks chunk by chunk; a
// warp holds the state of 16 columns of the values, transposed, as accumulators of matrix
// instructions. With S = e^m h:
//
//   x = a^ S + ak v        u = (I - ab)^-1 x, block by block
//   o = r^ S + rk v + rb u
//   h <- e^(G_C-m) (S + k'^T v + b'^T u)
//
// Chunks are copied to shared memory one ahead. Rounded to bf16: gated operands, scores, the
// inverse, S, x and u as operands. Sums and the state are fp32.
#ifndef RADLADS_KERNELS_WKV_CUDA_CHUNKED_FORWARD_CUH_
#define RADLADS_KERNELS_WKV_CUDA_CHUNKED_FORWARD_CUH_

#include "kernels/wkv/cuda/chunk.cuh"

namespace radlads::cuda {

struct WkvForwardParameters {
  WkvChunkedInputs in;
  Bf16* output;
  float* final_state;
  WkvChunkedSaved saved;
};

template <int D, bool kDelta>
__global__ void __launch_bounds__(kThreads<D>) WkvChunkedForwardKernel(WkvForwardParameters p) {
  using Memory = WalkMemory<D, kDelta>;
  const Memory memory;
  const auto& scores = memory.scores;
  const HeadPlace<D> place(p.in.shape, BlockX());
  const int64_t chunks = WkvChunks(place.time);
  const uint8_t* resets_of_row =
      p.in.reset == nullptr ? nullptr : p.in.reset + place.row * place.time;
  const int value = Warp() * kSlice;

  StateSlice<D> state;
  p.in.initial_state == nullptr ? state.Clear()
                                : state.Load(p.in.initial_state + place.state, value);

  const auto copy = [&](int64_t chunk) {
    const int64_t at = place.token(chunk * kC);
    const auto stage = Memory::StageOf(chunk);
    stage.x.CopyAsync(p.in, at, place.length(chunk));
    stage.values.CopyRowsAsync(p.in.v + at, place.stride(), place.length(chunk));
    CommitCopies();
  };
  if (chunks > 0) copy(0);

  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const auto [x, v] = Memory::StageOf(chunk);
    WaitCopies<0>();
    SyncThreads();
    if (chunk + 1 < chunks) copy(chunk + 1);
    const Resets resets = ReadResets(resets_of_row, chunk * kC, place.time);
    x.Gate(p.in.scale, resets, memory.mid, memory.tail);
    SyncThreads();
    scores.Compute(x, resets);
    SyncThreads();

    if (p.saved.states != nullptr)
      state.StoreRounded(p.saved.states + (BlockX() * chunks + chunk) * D * D, value);
    state.Scale(memory.mid);

    // u starts as x.
    float o[kC / 8][4] = {}, u[kC / 8][4] = {};
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t s[4], b[4];
      PackA(s, state.c + k / 8);
#pragma unroll
      for (int n = 0; n < kC; n += 16) {
        LoadBFromTransposed(b, x.r, k, n);
        Mma16(o + n / 8, s, b);
        if constexpr (kDelta) {
          LoadBFromTransposed(b, x.a, k, n);
          Mma16(u + n / 8, s, b);
        }
      }
    }
    if (resets.any()) {
      const auto sees_before = [&](int i) { return resets.sees_before(i); };
      KeepTokens(o, sees_before);
      if constexpr (kDelta) KeepTokens(u, sees_before);
    }

    uint32_t v_of[kC / 16][4], u_of[kC / 16][4];
#pragma unroll
    for (int i = 0; i < kC / 16; ++i) LoadAFromTransposed(v_of[i], v, value, 16 * i);
#pragma unroll
    for (int n = 0; n < kC / 16; ++n) {
#pragma unroll
      for (int i = 0; i <= n; ++i) {
        uint32_t b[4];
        LoadBFromTransposed(b, scores.rk, 16 * i, 16 * n);
        Mma16(o + 2 * n, v_of[i], b);
        if constexpr (kDelta) {
          LoadBFromTransposed(b, scores.ak, 16 * i, 16 * n);
          Mma16(u + 2 * n, v_of[i], b);
        }
      }
    }
    if constexpr (kDelta) {
#pragma unroll
      for (int n = 0; n < kC / 16; ++n) {
        uint32_t b[4], x_of[4];
#pragma unroll
        for (int i = 0; i < n; ++i) {
          LoadBFromTransposed(b, scores.ab, 16 * i, 16 * n);
          Mma16(u + 2 * n, u_of[i], b);
        }
        PackA(x_of, u + 2 * n);
        for (int e = 0; e < 8; ++e) u[2 * n + e / 4][e % 4] = 0;
        LoadBFromTransposed(b, scores.inverse, 0, 16 * n);
        Mma16(u + 2 * n, x_of, b);
        PackA(u_of[n], u + 2 * n);
#pragma unroll
        for (int i = 0; i <= n; ++i) {
          LoadBFromTransposed(b, scores.rb, 16 * i, 16 * n);
          Mma16(o + 2 * n, u_of[i], b);
        }
      }
    }

    // Of v this warp has read its own columns, and no other has: they take the results.
    const int64_t at = place.token(chunk * kC);
    SyncWarp();
    StoreTransposed<D>(v, o, value);
    WriteSlice<D>(p.output + at, place.stride(), v, value, place.length(chunk));
    if constexpr (kDelta) {
      if (p.saved.states != nullptr) {
        StoreTransposed<D>(v, u, value);
        WriteSlice<D>(p.saved.updates + at, place.stride(), v, value, place.length(chunk));
      }
    }

    if (resets.any()) {
      state.Clear();
      const auto seen_after = [&](int i) { return i >= resets.start(kC - 1); };
      KeepTokens(v_of, seen_after);
      if constexpr (kDelta) KeepTokens(u_of, seen_after);
    }
#pragma unroll
    for (int n = 0; n < D; n += 16) {
#pragma unroll
      for (int i = 0; i < kC / 16; ++i) {
        uint32_t b[4];
        LoadB(b, x.k, 16 * i, n);
        Mma16(state.c + n / 8, v_of[i], b);
        if constexpr (kDelta) {
          LoadB(b, x.b, 16 * i, n);
          Mma16(state.c + n / 8, u_of[i], b);
        }
      }
    }
    state.Scale(memory.tail);
  }
  state.Store(p.final_state + place.state, value);
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_CHUNKED_FORWARD_CUH_
