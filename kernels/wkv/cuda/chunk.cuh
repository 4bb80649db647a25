// A chunk of tokens of one row and head in shared memory, and its passage to matrix products: what
// the forward kernel and both backward kernels of the chunked recurrence do first.
//
// With G_i = sum_{j<=i} log w_j within the chunk and m = G after half of it, per channel:
//   r^ = scale r e^(G-m)   a^ = a e^(G_before-m)   k' = k e^(m-G)   b' = b e^(m-G)
//   rk = tril(r^ k'^T)   rb = tril(r^ b'^T)   ak = stril(a^ k'^T)   ab = stril(a^ b'^T)   inverse =
//   (I - ab)^-1
// Every factor of a score is far from overflow for the decays that the contract allows, and only
// scores of a token and an earlier one of the same document are kept (by selection: the others may
// be infinite).
//
// A reset inside the chunk needs no other arithmetic: it selects, as the causal mask does. Its
// token's decay counts as 1.
#ifndef RADLADS_KERNELS_WKV_CUDA_CHUNK_CUH_
#define RADLADS_KERNELS_WKV_CUDA_CHUNK_CUH_

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/wkv/cuda/wkv_cuda.h"

namespace radlads::cuda {

inline constexpr int kC = kWkvChunkTokens;  // tokens of a chunk
inline constexpr int kHalf = kC / 2;        // tokens of a diagonal block, of which a chunk has two
inline constexpr float kLog2E = 1.44269504088896340736f;

// Threads and warps of a block for head size D. A warp owns kSlice columns of the values (or
// channels of the keys).
template <int D>
inline constexpr int kThreads = 2 * D;
inline constexpr int kSlice = 16;

// Hands out shared memory front to back.
class SharedArena {
 public:
  __device__ explicit SharedArena(size_t begin = 0) : next_(SharedMemory() + begin) {}
  template <typename TileType>
  __device__ TileType Take() {
    const TileType tile = {reinterpret_cast<decltype(TileType::data)>(next_)};
    next_ += TileType::kBytes;
    return tile;
  }
  template <int N>
  __device__ float* TakeFloats() {
    float* floats = reinterpret_cast<float*>(next_);
    next_ += N * sizeof(float);
    return floats;
  }

 private:
  uint8_t* next_;
};

// Which tokens of a chunk see which: bit i of `bits` says that the state is put to zero before
// token i.
struct Resets {
  uint32_t bits;

  __device__ bool at(int i) const { return bits >> i & 1; }
  // The first token that token i sees.
  __device__ int start(int i) const {
    const uint32_t before = bits & (0xffffffffu >> (31 - i));
    return before == 0 ? 0 : HighestBit(before);
  }
  // Whether token i sees the state before the chunk; whether the state after the chunk does.
  __device__ bool sees_before(int i) const { return (bits & (0xffffffffu >> (31 - i))) == 0; }
  __device__ bool any() const { return bits != 0; }
};

// The resets among tokens [first, first + kC) of a row of `time` tokens. By all lanes of a warp.
__device__ __forceinline__ Resets ReadResets(const uint8_t* row, int64_t first, int64_t time) {
  if (row == nullptr) return {0};
  const int64_t t = first + Lane();
  return {Ballot(t < time && row[t] != 0)};
}

// The inputs of a chunk; Gate replaces r, k, a, b by r^, k', a^, b' and log_w by (G - m) log2(e).
template <int D, bool kDelta>
struct ChunkOperands {
  using Keys = Tile<Bf16, kC, D>;
  using Decays = Tile<float, kC, D>;
  Keys r, k, a, b;
  Decays g;
  static constexpr size_t kBytes = (kDelta ? 4 : 2) * Keys::kBytes + Decays::kBytes;

  static __device__ ChunkOperands Take(SharedArena& arena) {
    ChunkOperands x;
    x.r = arena.Take<Keys>();
    x.k = arena.Take<Keys>();
    if constexpr (kDelta) {
      x.a = arena.Take<Keys>();
      x.b = arena.Take<Keys>();
    }
    x.g = arena.Take<Decays>();
    return x;
  }

  // `key` is the place of the chunk's first token in [B,T,H,K].
  __device__ void CopyAsync(const WkvChunkedInputs& in, int64_t key, int length) const {
    const int64_t stride = in.shape.heads * D;
    r.CopyRowsAsync(in.r + key, stride, length);
    k.CopyRowsAsync(in.k + key, stride, length);
    if constexpr (kDelta) {
      a.CopyRowsAsync(in.a + key, stride, length);
      b.CopyRowsAsync(in.b + key, stride, length);
    }
    g.CopyRowsAsync(in.log_w + key, stride, length);
  }

  // By the whole block, a channel and a half of the chunk to each thread. Leaves e^m in mid and
  // e^(G_C-m) in tail [D].
  __device__ void Gate(float scale, Resets resets, float* mid, float* tail) const {
    const int channel = ThreadIndex() % D, first = ThreadIndex() / D * kHalf;
    float log_w[kHalf], total = 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float x = g.Load(first + i, channel);
      const float bounded = x < kMinChunkedLogDecay ? kMinChunkedLogDecay : x;
      log_w[i] = resets.at(first + i) ? 0.0f : bounded * kLog2E;
      total += log_w[i];
    }
    // The first half ends at m, the second begins there: neither needs the other's sum.
    float sum = first == 0 ? -total : 0.0f, before = Exp2(sum);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const int row = first + i;
      sum += log_w[i];
      const float after = Exp2(sum), inverse = Exp2(-sum);
      r.Store(row, channel, ToBf16(ToFloat(r.Load(row, channel)) * (scale * after)));
      k.Store(row, channel, ToBf16(ToFloat(k.Load(row, channel)) * inverse));
      if constexpr (kDelta) {
        a.Store(row, channel, ToBf16(ToFloat(a.Load(row, channel)) * before));
        b.Store(row, channel, ToBf16(ToFloat(b.Load(row, channel)) * inverse));
      }
      g.Store(row, channel, sum);
      before = after;
    }
    StoreShared((first == 0 ? mid : tail) + channel, Exp2(total));
  }
};

// The scores of a chunk. Blocks above the diagonal are not written and must not be read.
template <int D, bool kDelta>
struct ChunkScores {
  using Scores = Tile<Bf16, kC, kC>;
  using Diagonal = Tile<Bf16, kC, kHalf>;  // both diagonal blocks, one above the other
  using Lower = Tile<float, kC, kHalf>;
  Scores rk, rb, ak, ab;  // of ab only the block below the diagonal
  Diagonal inverse;       // of the diagonal blocks of I - ab
  Lower lower;            // the diagonal blocks of ab
  static constexpr size_t kBytes =
      kDelta ? 4 * Scores::kBytes + Diagonal::kBytes + Lower::kBytes : Scores::kBytes;

  static __device__ ChunkScores Take(SharedArena& arena) {
    ChunkScores x;
    x.rk = arena.Take<Scores>();
    if constexpr (kDelta) {
      x.rb = arena.Take<Scores>();
      x.ak = arena.Take<Scores>();
      x.ab = arena.Take<Scores>();
      x.inverse = arena.Take<Diagonal>();
      x.lower = arena.Take<Lower>();
    }
    return x;
  }

  // By the whole block, between barriers.
  __device__ void Compute(const ChunkOperands<D, kDelta>& x, Resets resets) const {
    const int warp = Warp(), warps = kThreads<D> / 32;
    if constexpr (kDelta) {
      if (warp == warps - 1) {
        for (int block = 0; block < 3; ++block) ComputeAb(x, resets, block);
        SyncWarp();
        Invert();
        return;
      }
      for (int i = warp; i < 9; i += warps - 1) {
        const int block = i / 3;
        if (i % 3 == 0) ComputeBlock(rk, x.r, x.k, resets, block, false);
        if (i % 3 == 1) ComputeBlock(rb, x.r, x.b, resets, block, false);
        if (i % 3 == 2) ComputeBlock(ak, x.a, x.k, resets, block, true);
      }
    } else if (warp < 3) {
      ComputeBlock(rk, x.r, x.k, resets, warp, false);
    }
  }

 private:
  using Keys = typename ChunkOperands<D, kDelta>::Keys;

  // Blocks 0, 1, 2 of a lower triangle: (0, 0), (1, 0), (1, 1).
  static __device__ int RowOf(int block) { return block == 0 ? 0 : kHalf; }
  static __device__ int ColumnOf(int block) { return block == 2 ? kHalf : 0; }

  static __device__ void Multiply(float (&c)[2][4], const Keys& rows, const Keys& columns,
                                  int block) {
#pragma unroll
    for (int k = 0; k < D; k += 16) {
      uint32_t a[4], b[4];
      LoadA(a, rows, RowOf(block), k);
      LoadBFromTransposed(b, columns, k, ColumnOf(block));
      Mma16(c, a, b);
    }
  }

 public:
  // Zero where row i does not see column j.
  static __device__ void Select(float (&c)[2][4], Resets resets, int row, int column, bool strict) {
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const int i = row + g + e % 4 / 2 * 8, j = column + e / 4 * 8 + 2 * t + e % 2;
      if (j > i || (strict && j == i) || j < resets.start(i)) c[e / 4][e % 4] = 0;
    }
  }
  static __device__ void StoreBlock(const Scores& out, const float (&c)[2][4], int row,
                                    int column) {
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      uint32_t* pair =
          reinterpret_cast<uint32_t*>(out.Address(row + g + e % 2 * 8, column + e / 2 * 8 + 2 * t));
      StoreShared(pair, PackBf16(c[e / 2][e % 2 * 2], c[e / 2][e % 2 * 2 + 1]));
    }
  }

 private:
  static __device__ void ComputeBlock(const Scores& out, const Keys& rows, const Keys& columns,
                                      Resets resets, int block, bool strict) {
    float c[2][4] = {};
    Multiply(c, rows, columns, block);
    Select(c, resets, RowOf(block), ColumnOf(block), strict);
    StoreBlock(out, c, RowOf(block), ColumnOf(block));
  }

  __device__ void ComputeAb(const ChunkOperands<D, kDelta>& x, Resets resets, int block) const {
    float c[2][4] = {};
    Multiply(c, x.a, x.b, block);
    Select(c, resets, RowOf(block), ColumnOf(block), true);
    if (block == 1) return StoreBlock(ab, c, RowOf(block), ColumnOf(block));
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      lower.Store(RowOf(block) + g + e % 4 / 2 * 8, e / 4 * 8 + 2 * t + e % 2, c[e / 4][e % 4]);
    }
  }

  // Forward substitution in fp32, a column of a block to each lane. (A series in low precision is
  // not an option: powers of ab grow to thousands for repeated keys before they cancel.)
  __device__ void Invert() const {
    const int first = Lane() / kHalf * kHalf, column = Lane() % kHalf;
    float x[kHalf];
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      float sum = i == column ? 1.0f : 0.0f;
#pragma unroll
      for (int j = 0; j < i; ++j) sum += lower.Load(first + i, j) * x[j];
      x[i] = sum;
      inverse.Store(first + i, column, ToBf16(sum));
    }
  }
};

// Shared memory of a kernel that walks a sequence: two stages of operands with values (in the
// backward pass: gradients of outputs), one in use while the other is copied to; then scores and
// factors.
template <int D, bool kDelta>
struct WalkMemory {
  using Operands = ChunkOperands<D, kDelta>;
  using Scores = ChunkScores<D, kDelta>;
  using Values = Tile<Bf16, kC, D>;
  static constexpr size_t kStageBytes = Operands::kBytes + Values::kBytes;
  static constexpr size_t kBytes = 2 * kStageBytes + Scores::kBytes + 2 * D * sizeof(float);

  struct Stage {
    Operands x;
    Values values;
  };
  // Of chunk i: stage i % 2.
  static __device__ Stage StageOf(int64_t chunk) {
    SharedArena arena(chunk % 2 * kStageBytes);
    Stage stage;
    stage.x = Operands::Take(arena);
    stage.values = arena.template Take<Values>();
    return stage;
  }

  Scores scores;
  float *mid, *tail;

  __device__ WalkMemory() {
    SharedArena arena(2 * kStageBytes);
    scores = Scores::Take(arena);
    mid = arena.template TakeFloats<D>();
    tail = arena.template TakeFloats<D>();
  }
};

// Global memory, 4 or 16 bytes at a time.
struct alignas(16) Bytes16 {
  uint32_t x[4];
};

// Columns [column, column + kSlice) of rows [0, rows) of a tile to global memory, by one warp; it
// ends with the tile free for the warp's next use.
template <int D>
__device__ __forceinline__ void WriteSlice(Bf16* to, int64_t stride, const Tile<Bf16, kC, D>& tile,
                                           int column, int rows) {
  SyncWarp();
  for (int i = Lane(); i < 2 * rows; i += 32) {
    const int row = i / 2, at = column + i % 2 * 8;
    *reinterpret_cast<Bytes16*>(to + row * stride + at) =
        LoadShared(reinterpret_cast<const Bytes16*>(tile.Address(row, at)));
  }
  SyncWarp();
}
// Stores a transposed result (c[n]: values x tokens 8n..8n+7, the warp's slice of values) as rows
// of tokens.
template <int D>
__device__ __forceinline__ void StoreTransposed(const Tile<Bf16, kC, D>& tile,
                                                const float (&c)[kC / 8][4], int column) {
  const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
  for (int n = 0; n < kC / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e)
      tile.Store(8 * n + 2 * t + e % 2, column + g + e / 2 * 8, ToBf16(c[n][e]));
  }
}

// A slice of the state or of its gradient, transposed: c[n] is values [16] x channels 8n..8n+7.
template <int D>
struct StateSlice {
  float c[D / 8][4];

  __device__ void Clear() {
#pragma unroll
    for (int i = 0; i < D / 2; ++i) c[i / 4][i % 4] = 0;
  }
  // Channel i times factors[i] (shared memory).
  __device__ void Scale(const float* factors) {
    const int t = Lane() % 4;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      const float low = LoadShared(factors + 8 * n + 2 * t),
                  high = LoadShared(factors + 8 * n + 2 * t + 1);
      c[n][0] *= low;
      c[n][1] *= high;
      c[n][2] *= low;
      c[n][3] *= high;
    }
  }
  // From and to fp32 [K,V], and to bf16 [V,K], all of one head; `value` is the slice's first.
  __device__ void Load(const float* from, int value) {
    ForEach(value, [&](float& x, int v, int k) { x = from[k * D + v]; });
  }
  __device__ void Store(float* to, int value) {
    ForEach(value, [&](float& x, int v, int k) { to[k * D + v] = x; });
  }
  __device__ void StoreRounded(Bf16* to, int value) const {
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        *reinterpret_cast<uint32_t*>(to + (value + g + 8 * e) * D + 8 * n + 2 * t) =
            PackBf16(c[n][2 * e], c[n][2 * e + 1]);
      }
    }
  }

 private:
  template <typename F>
  __device__ void ForEach(int value, const F& f) {
    const int g = Lane() / 4, t = Lane() % 4;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) f(c[n][e], value + g + e / 2 * 8, 8 * n + 2 * t + e % 2);
    }
  }
};

// Zeroes the tokens of transposed results that `keep` does not keep.
template <typename F>
__device__ __forceinline__ void KeepTokens(float (&c)[kC / 8][4], const F& keep) {
  const int t = Lane() % 4;
#pragma unroll
  for (int n = 0; n < kC / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      if (!keep(8 * n + 2 * t + e)) c[n][e] = c[n][e + 2] = 0;
    }
  }
}
// The same for A fragments of values x tokens 16i..16i+15.
template <typename F>
__device__ __forceinline__ void KeepTokens(uint32_t (&a)[kC / 16][4], const F& keep) {
  const int t = Lane() % 4;
#pragma unroll
  for (int i = 0; i < kC / 16; ++i) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = 16 * i + 8 * e + 2 * t;
      const uint32_t kept = (keep(token) ? 0x0000ffffu : 0u) | (keep(token + 1) ? 0xffff0000u : 0u);
      a[i][2 * e] &= kept;
      a[i][2 * e + 1] &= kept;
    }
  }
}

// The row and head of a block, and where its data lies.
template <int D>
struct HeadPlace {
  int64_t row, head, heads, time, state;

  __device__ HeadPlace(const WkvShape& shape, int64_t index)
      : row(index / shape.heads),
        head(index % shape.heads),
        heads(shape.heads),
        time(shape.time),
        state(index * D * D) {}
  // Of token t in [B,T,H,D].
  __device__ int64_t token(int64_t t) const { return ((row * time + t) * heads + head) * D; }
  __device__ int64_t stride() const { return heads * D; }
  __device__ int length(int64_t chunk) const {
    const int64_t rest = time - chunk * kC;
    return rest < kC ? static_cast<int>(rest) : kC;
  }
};

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_CHUNK_CUH_
