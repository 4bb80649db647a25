// The chunked recurrence backward, in two kernels without atomics. With E = e^(G_C-m) dh, dh being
// dL/d(state after the chunk), and do = dL/do:
//
// The first walks each row and head from the end, with the gradient of the state in registers as
// the forward kernel has the state:
//   du = rb^T do + b' E            y = (I - ab)^-T du, block by block
//   dv = rk^T do + k' E + ak^T y
//   dL/d(state before) = e^m (E + r^T do + a^T y)
// The second takes every chunk by itself, a warp for 16 channels of the keys; h is the state before
// the chunk:
//   drk = tril(do v^T)   drb = tril(do u^T)   dak = stril(y v^T)   dab = stril(y u^T)
//   dr = scale e^(G-m) R,    R = do (e^m h)^T + drk k' + drb b'
//   da = e^(G_before-m) A,   A = y (e^m h)^T + dak k' + dab b'
//   dk = e^(m-G) K,          K = v E^T + drk^T r^ + dak^T a^
//   db = e^(m-G) B,          B = u E^T + drb^T r^ + dab^T a^
//   dlog_w_t = sum_v (h_after dh) + sum_{i>=t} (r^ R - k' K - b' B)_i + sum_{i>t} (a^ A)_i within a
//   document
#ifndef RADLADS_KERNELS_WKV_CUDA_CHUNKED_BACKWARD_CUH_
#define RADLADS_KERNELS_WKV_CUDA_CHUNKED_BACKWARD_CUH_

#include "kernels/wkv/cuda/chunk.cuh"

namespace radlads::cuda {

struct WkvBackwardParameters {
  WkvChunkedInputs in;
  WkvChunkedSaved saved;
  WkvChunkedGradients d;
};

template <int D, bool kDelta>
__global__ void __launch_bounds__(kThreads<D>)
    WkvChunkedBackwardScanKernel(WkvBackwardParameters p) {
  using Memory = WalkMemory<D, kDelta>;
  const Memory memory;
  const auto& scores = memory.scores;
  const HeadPlace<D> place(p.in.shape, BlockX());
  const int64_t chunks = WkvChunks(place.time);
  const uint8_t* resets_of_row =
      p.in.reset == nullptr ? nullptr : p.in.reset + place.row * place.time;
  const int value = Warp() * kSlice;

  StateSlice<D> d_state;
  p.d.final_state == nullptr ? d_state.Clear() : d_state.Load(p.d.final_state + place.state, value);

  const auto copy = [&](int64_t chunk) {
    const int64_t at = place.token(chunk * kC);
    const auto stage = Memory::StageOf(chunk);
    stage.x.CopyAsync(p.in, at, place.length(chunk));
    // Without a gradient of the output no row is valid, and the source is not read.
    stage.values.CopyRowsAsync(p.d.output == nullptr ? p.in.v : p.d.output + at, place.stride(),
                               p.d.output == nullptr ? 0 : place.length(chunk));
    CommitCopies();
  };
  if (chunks > 0) copy(chunks - 1);

  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const auto [x, d_o] = Memory::StageOf(chunk);
    WaitCopies<0>();
    SyncThreads();
    if (chunk > 0) copy(chunk - 1);
    const Resets resets = ReadResets(resets_of_row, chunk * kC, place.time);
    x.Gate(p.in.scale, resets, memory.mid, memory.tail);
    SyncThreads();
    scores.Compute(x, resets);
    SyncThreads();

    d_state.StoreRounded(p.d.d_states + (BlockX() * chunks + chunk) * D * D, value);
    d_state.Scale(memory.tail);

    // y starts as du.
    float d_v[kC / 8][4] = {}, y[kC / 8][4] = {};
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t e[4], b[4];
      PackA(e, d_state.c + k / 8);
#pragma unroll
      for (int n = 0; n < kC; n += 16) {
        LoadBFromTransposed(b, x.k, k, n);
        Mma16(d_v + n / 8, e, b);
        if constexpr (kDelta) {
          LoadBFromTransposed(b, x.b, k, n);
          Mma16(y + n / 8, e, b);
        }
      }
    }
    if (resets.any()) {
      const auto seen_after = [&](int i) { return i >= resets.start(kC - 1); };
      KeepTokens(d_v, seen_after);
      if constexpr (kDelta) KeepTokens(y, seen_after);
    }

    uint32_t d_o_of[kC / 16][4], y_of[kC / 16][4];
#pragma unroll
    for (int i = 0; i < kC / 16; ++i) LoadAFromTransposed(d_o_of[i], d_o, value, 16 * i);
#pragma unroll
    for (int n = 0; n < kC / 16; ++n) {
#pragma unroll
      for (int i = n; i < kC / 16; ++i) {
        uint32_t b[4];
        LoadB(b, scores.rk, 16 * i, 16 * n);
        Mma16(d_v + 2 * n, d_o_of[i], b);
        if constexpr (kDelta) {
          LoadB(b, scores.rb, 16 * i, 16 * n);
          Mma16(y + 2 * n, d_o_of[i], b);
        }
      }
    }
    if constexpr (kDelta) {
#pragma unroll
      for (int n = kC / 16 - 1; n >= 0; --n) {
        uint32_t b[4], d_u_of[4];
#pragma unroll
        for (int i = n + 1; i < kC / 16; ++i) {
          LoadB(b, scores.ab, 16 * i, 16 * n);
          Mma16(y + 2 * n, y_of[i], b);
        }
        PackA(d_u_of, y + 2 * n);
        for (int e = 0; e < 8; ++e) y[2 * n + e / 4][e % 4] = 0;
        LoadB(b, scores.inverse, 16 * n, 0);
        Mma16(y + 2 * n, d_u_of, b);
        PackA(y_of[n], y + 2 * n);
#pragma unroll
        for (int i = n; i < kC / 16; ++i) {
          LoadB(b, scores.ak, 16 * i, 16 * n);
          Mma16(d_v + 2 * n, y_of[i], b);
        }
      }
    }

    const int64_t at = place.token(chunk * kC);
    SyncWarp();
    StoreTransposed<D>(d_o, d_v, value);
    WriteSlice<D>(p.d.v + at, place.stride(), d_o, value, place.length(chunk));
    if constexpr (kDelta) {
      StoreTransposed<D>(d_o, y, value);
      WriteSlice<D>(p.d.y + at, place.stride(), d_o, value, place.length(chunk));
    }

    if (resets.any()) {
      d_state.Clear();
      const auto sees_before = [&](int i) { return resets.sees_before(i); };
      KeepTokens(d_o_of, sees_before);
      if constexpr (kDelta) KeepTokens(y_of, sees_before);
    }
#pragma unroll
    for (int n = 0; n < D; n += 16) {
#pragma unroll
      for (int i = 0; i < kC / 16; ++i) {
        uint32_t b[4];
        LoadB(b, x.r, 16 * i, n);
        Mma16(d_state.c + n / 8, d_o_of[i], b);
        if constexpr (kDelta) {
          LoadB(b, x.a, 16 * i, n);
          Mma16(d_state.c + n / 8, y_of[i], b);
        }
      }
    }
    d_state.Scale(memory.mid);
  }
  if (p.d.initial_state != nullptr) d_state.Store(p.d.initial_state + place.state, value);
}

// What the second kernel holds of a chunk.
template <int D, bool kDelta>
struct ChunkGradientTiles {
  using Values = Tile<Bf16, kC, D>;
  using State = Tile<Bf16, D, D>;  // [V,K]
  using Scores = typename ChunkScores<D, kDelta>::Scores;
  ChunkOperands<D, kDelta> x;
  Values v, d_o, u, y;
  State h, d_h;
  Scores d_rk, d_rb, d_ak, d_ab;
  float *mid, *tail, *carried;
  static constexpr size_t kBytes = ChunkOperands<D, kDelta>::kBytes +
                                   (kDelta ? 4 : 2) * Values::kBytes + 2 * State::kBytes +
                                   (kDelta ? 4 : 1) * Scores::kBytes + 3 * D * sizeof(float);

  __device__ ChunkGradientTiles() {
    SharedArena arena;
    x = ChunkOperands<D, kDelta>::Take(arena);
    v = arena.template Take<Values>();
    d_o = arena.template Take<Values>();
    h = arena.template Take<State>();
    d_h = arena.template Take<State>();
    d_rk = arena.template Take<Scores>();
    if constexpr (kDelta) {
      u = arena.template Take<Values>();
      y = arena.template Take<Values>();
      d_rb = arena.template Take<Scores>();
      d_ak = arena.template Take<Scores>();
      d_ab = arena.template Take<Scores>();
    }
    mid = arena.template TakeFloats<D>();
    tail = arena.template TakeFloats<D>();
    carried = arena.template TakeFloats<D>();
  }
};

// Block (row, column) of `out` = rows columns^T, selected.
template <int D, bool kDelta>
__device__ __forceinline__ void ScoreGradient(const Tile<Bf16, kC, kC>& out,
                                              const Tile<Bf16, kC, D>& rows,
                                              const Tile<Bf16, kC, D>& columns, Resets resets,
                                              int block, bool strict) {
  const int row = block == 0 ? 0 : kHalf, column = block == 2 ? kHalf : 0;
  float c[2][4] = {};
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4], b[4];
    LoadA(a, rows, row, k);
    LoadBFromTransposed(b, columns, k, column);
    Mma16(c, a, b);
  }
  ChunkScores<D, kDelta>::Select(c, resets, row, column, strict);
  ChunkScores<D, kDelta>::StoreBlock(out, c, row, column);
}

// c (tokens row..row+15 x channels) += rows of `values` times `state` [V,K].
template <int D>
__device__ __forceinline__ void MultiplyByState(float (&c)[2][4], const Tile<Bf16, kC, D>& values,
                                                const Tile<Bf16, D, D>& state, int row,
                                                int channel) {
#pragma unroll
  for (int v = 0; v < D; v += 16) {
    uint32_t a[4], b[4];
    LoadA(a, values, row, v);
    LoadB(b, state, v, channel);
    Mma16(c, a, b);
  }
}
// c += scores times keys, or scores^T times keys: only blocks on and below the diagonal of the
// scores count.
template <int D>
__device__ __forceinline__ void MultiplyByKeys(float (&c)[2][4], const Tile<Bf16, kC, kC>& scores,
                                               const Tile<Bf16, kC, D>& keys, int row,
                                               int channel) {
#pragma unroll
  for (int i = 0; i < kC; i += 16) {
    if (i > row) continue;
    uint32_t a[4], b[4];
    LoadA(a, scores, row, i);
    LoadB(b, keys, i, channel);
    Mma16(c, a, b);
  }
}
template <int D>
__device__ __forceinline__ void MultiplyTransposedByKeys(float (&c)[2][4],
                                                         const Tile<Bf16, kC, kC>& scores,
                                                         const Tile<Bf16, kC, D>& keys, int row,
                                                         int channel) {
#pragma unroll
  for (int i = 0; i < kC; i += 16) {
    if (i < row) continue;
    uint32_t a[4], b[4];
    LoadAFromTransposed(a, scores, row, i);
    LoadB(b, keys, i, channel);
    Mma16(c, a, b);
  }
}

template <int D, bool kDelta>
__global__ void __launch_bounds__(kThreads<D>)
    WkvChunkedBackwardChunksKernel(WkvBackwardParameters p) {
  const ChunkGradientTiles<D, kDelta> s;
  const auto& x = s.x;
  const int64_t chunks = WkvChunks(p.in.shape.time), chunk = BlockX() % chunks;
  const HeadPlace<D> place(p.in.shape, BlockX() / chunks);
  const int64_t at = place.token(chunk * kC), state = BlockX() * D * D;
  const int length = place.length(chunk);

  x.CopyAsync(p.in, at, length);
  s.v.CopyRowsAsync(p.in.v + at, place.stride(), length);
  s.d_o.CopyRowsAsync(p.d.output == nullptr ? p.in.v : p.d.output + at, place.stride(),
                      p.d.output == nullptr ? 0 : length);
  if constexpr (kDelta) {
    s.u.CopyRowsAsync(p.saved.updates + at, place.stride(), length);
    s.y.CopyRowsAsync(p.d.y + at, place.stride(), length);
  }
  s.h.CopyRowsAsync(p.saved.states + state, D, D);
  s.d_h.CopyRowsAsync(p.d.d_states + state, D, D);
  CommitCopies();
  const Resets resets =
      ReadResets(p.in.reset == nullptr ? nullptr : p.in.reset + place.row * place.time, chunk * kC,
                 place.time);
  WaitCopies<0>();
  SyncThreads();

  x.Gate(p.in.scale, resets, s.mid, s.tail);
  for (int i = Warp(); i < (kDelta ? 12 : 3); i += kThreads<D> / 32) {
    if (i / 3 == 0) ScoreGradient<D, kDelta>(s.d_rk, s.d_o, s.v, resets, i % 3, false);
    if constexpr (kDelta) {
      if (i / 3 == 1) ScoreGradient<D, kDelta>(s.d_rb, s.d_o, s.u, resets, i % 3, false);
      if (i / 3 == 2) ScoreGradient<D, kDelta>(s.d_ak, s.y, s.v, resets, i % 3, true);
      if (i / 3 == 3) ScoreGradient<D, kDelta>(s.d_ab, s.y, s.u, resets, i % 3, true);
    }
  }
  SyncThreads();

  const int channel = Warp() * kSlice, g = Lane() / 4, t = Lane() % 4;
  // The thread's four channels: channel + 8 (c / 2) + 2t + c % 2.
  const auto channel_of = [&](int c) { return channel + c / 2 * 8 + 2 * t + c % 2; };
  float mid[4], tail[4], carried[4];
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    mid[c] = LoadShared(s.mid + channel_of(c));
    tail[c] = LoadShared(s.tail + channel_of(c));
    carried[c] = 0;
    if (resets.any()) continue;
    for (int v = g; v < D; v += 8)
      carried[c] += ToFloat(s.h.Load(v, channel_of(c))) * ToFloat(s.d_h.Load(v, channel_of(c)));
    carried[c] *= mid[c] * tail[c];
  }

  // What a token adds to the gradient of its own decay and of those before it, and of those before
  // it only.
  float from_own[kC / 8][4], from_next[kC / 8][4];
#pragma unroll
  for (int block = 0; block < kC / 16; ++block) {
    const int row = 16 * block;
    float R[2][4] = {}, A[2][4] = {}, K[2][4] = {}, B[2][4] = {};
    MultiplyByState<D>(R, s.d_o, s.h, row, channel);
    MultiplyByState<D>(K, s.v, s.d_h, row, channel);
    if constexpr (kDelta) {
      MultiplyByState<D>(A, s.y, s.h, row, channel);
      MultiplyByState<D>(B, s.u, s.d_h, row, channel);
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const int n = e / 4, i = e % 4, token = row + g + i / 2 * 8, c = 2 * n + i % 2;
      const bool before = resets.sees_before(token), after = token >= resets.start(kC - 1);
      R[n][i] = before ? R[n][i] * mid[c] : 0.0f;
      K[n][i] = after ? K[n][i] * tail[c] : 0.0f;
      carried[c] += K[n][i] * ToFloat(x.k.Load(token, channel_of(c)));
      if constexpr (kDelta) {
        A[n][i] = before ? A[n][i] * mid[c] : 0.0f;
        B[n][i] = after ? B[n][i] * tail[c] : 0.0f;
        carried[c] += B[n][i] * ToFloat(x.b.Load(token, channel_of(c)));
      }
    }
    MultiplyByKeys<D>(R, s.d_rk, x.k, row, channel);
    MultiplyTransposedByKeys<D>(K, s.d_rk, x.r, row, channel);
    if constexpr (kDelta) {
      MultiplyByKeys<D>(R, s.d_rb, x.b, row, channel);
      MultiplyByKeys<D>(A, s.d_ak, x.k, row, channel);
      MultiplyByKeys<D>(A, s.d_ab, x.b, row, channel);
      MultiplyTransposedByKeys<D>(K, s.d_ak, x.a, row, channel);
      MultiplyTransposedByKeys<D>(B, s.d_rb, x.r, row, channel);
      MultiplyTransposedByKeys<D>(B, s.d_ab, x.a, row, channel);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = row + g + 8 * half;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        float d_r[2], d_k[2], d_a[2], d_b[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int i = 2 * half + e, c = 2 * n + e, at_channel = channel_of(c);
          const float gate = x.g.Load(token, at_channel), inverse = Exp2(-gate);
          float own = R[n][i] * ToFloat(x.r.Load(token, at_channel)) -
                      K[n][i] * ToFloat(x.k.Load(token, at_channel));
          float next = 0;
          d_r[e] = p.in.scale * Exp2(gate) * R[n][i];
          d_k[e] = inverse * K[n][i];
          if constexpr (kDelta) {
            const float before = token == 0 ? 1.0f / mid[c] : Exp2(x.g.Load(token - 1, at_channel));
            own -= B[n][i] * ToFloat(x.b.Load(token, at_channel));
            next = A[n][i] * ToFloat(x.a.Load(token, at_channel));
            d_a[e] = before * A[n][i];
            d_b[e] = inverse * B[n][i];
          }
          from_own[2 * block + half][c] = own;
          from_next[2 * block + half][c] = next;
        }
        if (token >= length) continue;
        const int64_t to = at + token * place.stride() + channel + 8 * n + 2 * t;
        *reinterpret_cast<uint32_t*>(p.d.r + to) = PackBf16(d_r[0], d_r[1]);
        *reinterpret_cast<uint32_t*>(p.d.k + to) = PackBf16(d_k[0], d_k[1]);
        if constexpr (kDelta) {
          *reinterpret_cast<uint32_t*>(p.d.a + to) = PackBf16(d_a[0], d_a[1]);
          *reinterpret_cast<uint32_t*>(p.d.b + to) = PackBf16(d_b[0], d_b[1]);
        }
      }
    }
  }

  // The sum over tokens from the last: through shared memory, a channel to each of 16 lanes. Token
  // i's second part goes to token i - 1, which no other adds to.
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    for (int mask = 4; mask < 32; mask *= 2) carried[c] += ShuffleXor(carried[c], mask);
    if (g == 0) StoreShared(s.carried + channel_of(c), carried[c]);
  }
  SyncWarp();
#pragma unroll
  for (int i = 0; i < kC / 8; ++i) {
    for (int c = 0; c < 4; ++c) x.g.Store(8 * i + g, channel_of(c), from_own[i][c]);
  }
  if constexpr (kDelta) {
    SyncWarp();
#pragma unroll
    for (int i = 0; i < kC / 8; ++i) {
      const int token = 8 * i + g;
      if (token == 0) continue;
      for (int c = 0; c < 4; ++c)
        x.g.Store(token - 1, channel_of(c), x.g.Load(token - 1, channel_of(c)) + from_next[i][c]);
    }
  }
  SyncWarp();
  if (Lane() < kSlice) {
    const int own = channel + Lane();
    float sum = LoadShared(s.carried + own);
    for (int token = kC - 1; token >= 0; --token) {
      sum += x.g.Load(token, own);
      if (resets.at(token)) sum = 0;
      if (token < length) p.d.log_w[at + token * place.stride() + own] = sum;
    }
  }
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_CHUNKED_BACKWARD_CUH_
