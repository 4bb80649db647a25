// A team, which is part of a warp, has one query head of one token. In the backward pass a block keeps to one key and
// value head: its teams have the query heads that read it, of one or several tokens, and add up through shared memory.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/rope/rotation.cuh"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cuda.h"

namespace radlads::cuda {
namespace {

constexpr float kDecayScale = 0.60653065971263342f;  // e^-0.5
constexpr float kNormFloor = 1e-12f;
constexpr int kMaxThreads = 256;
constexpr int kParameters = 5;  // w0, a0, v0, k_k, k_a
constexpr int kRows = 4;
// Heads up to here are read in packs of eight, one for each lane of a team.
constexpr int kMaxPackedHeadDim = 256;

struct ForwardParameters {
  Rwkv7PrepareArguments in;
  Rwkv7PrepareResults y;
  Teams teams;
};

struct BackwardParameters {
  Rwkv7PrepareArguments in;
  Rwkv7PrepareGradients d;
  float* parts;  // [blocks of a key head, kParameters, heads * head_dim]
  Teams teams;
  // Query heads, and tokens, that a block has at the same time, each pair of them a team.
  int heads_at_once, tokens_at_once;
  bool shared_sums;
};

// Calls f(i) for the packs of a team member.
template <int kPack, typename F>
__device__ __forceinline__ void ForPacks(int begin, int end, int step, const F& f) {
  if constexpr (kPack == 8) {  // one at most: kMaxPackedHeadDim
    if (begin < end) f(begin);
  } else {
#pragma unroll 1
    for (int i = begin; i < end; i += step) f(i);
  }
}

// A row [head_dim] in shared memory, its packs side by side element by element, so that lanes with a pack each fall
// into different banks.
template <int kPack>
struct SharedRow {
  float* row;
  int packs;

  __device__ Pack<kPack> Load(int i) const {
    Pack<kPack> x;
    for (int e = 0; e < kPack; ++e) x[e] = LoadShared(row + e * packs + i / kPack);
    return x;
  }
  __device__ void Store(int i, const Pack<kPack>& x) const {
    for (int e = 0; e < kPack; ++e) StoreShared(row + e * packs + i / kPack, x[e]);
  }
};

// A token's rows of the tables; null: no rotation.
struct Tables {
  const float *cos, *sin;
  int half;

  __device__ Tables(const Rwkv7PrepareArguments& in, int64_t token)
      : cos(nullptr), sin(nullptr), half(static_cast<int>(in.head_dim / 2)) {
    if (in.cos == nullptr) return;
    const int64_t at = (in.tables_per_batch ? token : token % in.time) * in.head_dim;
    cos = in.cos + at;
    sin = in.sin + at;
  }
};

// The pack at i of x [head_dim] rotated, and of a gradient rotated back.
template <int kPack, typename X>
__device__ Pack<kPack> Rotated(const Tables& tables, const X* x, int i) {
  const Pack<kPack> here = Load<kPack>(x + i);
  if (tables.cos == nullptr) return here;
  return Rotate(here, Load<kPack>(x + RotationPartner(i, tables.half)), tables.cos, tables.sin, i, tables.half);
}
template <int kPack, typename X>
__device__ Pack<kPack> RotatedBack(const Tables& tables, const X* dx, int i) {
  const Pack<kPack> here = Load<kPack>(dx + i);
  if (tables.cos == nullptr) return here;
  return RotateBack(here, Load<kPack>(dx + RotationPartner(i, tables.half)), tables.cos, tables.sin, i, tables.half);
}

// sigmoid(logit + offset)
template <int kPack>
__device__ Pack<kPack> Gate(const Pack<kPack>& logit, const float* offset) {
  Pack<kPack> x = Load<kPack>(offset);
  for (int e = 0; e < kPack; ++e) x[e] = Sigmoid(logit[e] + x[e]);
  return x;
}
// log_w: Gate() of w times this, and e^log_w.
__device__ __forceinline__ float Decay(float gate) {
  return Exp2(-kDecayScale * kLog2E * gate);
}

// The key, times k_k where that is not null: the unit vector before its division by the norm.
template <int kPack>
__device__ Pack<kPack> Direction(const SharedRow<kPack>& key, const float* k_k, int i) {
  Pack<kPack> x = key.Load(i);
  if (k_k == nullptr) return x;
  const Pack<kPack> factor = Load<kPack>(k_k + i);
  for (int e = 0; e < kPack; ++e) x[e] *= factor[e];
  return x;
}

// 1 / max(||Direction||, floor); `floored` says whether the floor was taken.
template <int kPack>
__device__ float InverseNorm(const SharedRow<kPack>& key, const float* k_k, int begin, int end, int step, int team,
                             bool* floored) {
  float squares = 0;
  ForPacks<kPack>(begin, end, step, [&](int i) {
    const Pack<kPack> x = Direction(key, k_k, i);
    for (int e = 0; e < kPack; ++e) squares += x[e] * x[e];
  });
  const float norm = Sqrt(SumOverTeam(squares, team, nullptr));
  *floored = norm < kNormFloor;
  return 1 / (*floored ? kNormFloor : norm);
}

template <int kPack, typename T, typename R>
__global__ void __launch_bounds__(kMaxThreads, 3) Rwkv7PrepareForwardKernel(ForwardParameters p) {
  const Rwkv7PrepareArguments& in = p.in;
  const Rwkv7PrepareResults& y = p.y;
  const int D = in.head_dim, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int64_t index = BlockX() * p.teams.PerBlock() + p.teams.Index(), token = index / in.heads;
  const bool active = index < in.batch * in.time * in.heads;
  // A team without a head has nothing to do between `begin` and `end`.
  const int end = active ? D : 0;
  const int64_t head = index % in.heads, channel = head * D, at = index * D,
                shared = (token * in.kv_heads + head / (in.heads / in.kv_heads)) * D;
  const float* k_k = in.balance_state ? nullptr : in.k_k + channel;
  const Tables tables(in, active ? token : 0);
  const SharedRow<kPack> key = {reinterpret_cast<float*>(SharedMemory()) + p.teams.Index() * D, D / kPack};
  ForPacks<kPack>(begin, end, step, [&](int i) {
    key.Store(i, Rotated<kPack>(tables, static_cast<const T*>(in.k) + shared, i));
    Store(static_cast<R*>(y.r) + at + i, Rotated<kPack>(tables, static_cast<const T*>(in.q) + at, i));
    Pack<kPack> value = Load<kPack>(static_cast<const T*>(in.v) + shared + i);
    if (in.v_mix != nullptr) {
      const Pack<kPack> mix = Gate(Load<kPack>(static_cast<const T*>(in.v_mix) + at + i), in.v0 + channel + i),
                        v_first = Load<kPack>(static_cast<const R*>(in.v_first) + at + i);
      for (int e = 0; e < kPack; ++e) value[e] += (v_first[e] - value[e]) * mix[e];
    }
    Store(static_cast<R*>(y.v) + at + i, value);
  });
  bool floored;
  const float inverse = InverseNorm(key, k_k, begin, end, step, p.teams.size, &floored);
  ForPacks<kPack>(begin, end, step, [&](int i) {
    const Pack<kPack> k = key.Load(i), direction = Direction(key, k_k, i),
                      decay = Gate(Load<kPack>(static_cast<const T*>(in.w) + at + i), in.w0 + channel + i),
                      iclr = Gate(Load<kPack>(static_cast<const T*>(in.a) + at + i), in.a0 + channel + i);
    Pack<kPack> log_w, out, a, b;
    for (int e = 0; e < kPack; ++e) {
      log_w[e] = -kDecayScale * decay[e];
      a[e] = -direction[e] * inverse;
      b[e] = -a[e] * iclr[e];
    }
    if (in.balance_state) {
      for (int e = 0; e < kPack; ++e) out[e] = k[e] * (1 - Decay(decay[e]) + iclr[e]);
    } else {
      const Pack<kPack> k_a = Load<kPack>(in.k_a + channel + i);
      for (int e = 0; e < kPack; ++e) out[e] = k[e] * ((iclr[e] - 1) * k_a[e] + 1);
    }
    Store(y.log_w + at + i, log_w);
    Store(static_cast<R*>(y.k) + at + i, out);
    Store(static_cast<R*>(y.a) + at + i, a);
    Store(static_cast<R*>(y.b) + at + i, b);
  });
}

// Adds x to a pack that no other thread touches.
template <int kPack>
__device__ void Add(const SharedRow<kPack>& row, int i, Pack<kPack> x, bool first) {
  if (!first) {
    const Pack<kPack> sum = row.Load(i);
    for (int e = 0; e < kPack; ++e) x[e] += sum[e];
  }
  row.Store(i, x);
}

template <int kPack, typename T, typename R>
__global__ void __launch_bounds__(kMaxThreads, 2) Rwkv7PrepareBackwardKernel(BackwardParameters p) {
  const Rwkv7PrepareArguments& in = p.in;
  const Rwkv7PrepareGradients& d = p.d;
  const int D = in.head_dim, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int group = static_cast<int>(in.heads / in.kv_heads), team = p.teams.Index(), slot = team % p.heads_at_once,
            place = team / p.heads_at_once;
  const int64_t tokens = in.batch * in.time, kv = BlockX() % in.kv_heads, part = BlockX() / in.kv_heads,
                parts = GridX() / in.kv_heads, width = in.heads * D;
  // For each team its key, the gradients of key and value by its heads, and iclr of a head, [teams, kRows, D].
  float* const rows = reinterpret_cast<float*>(SharedMemory());
  const auto row = [&](int of_team, int which) {
    return SharedRow<kPack>{rows + (of_team * kRows + which) * D, D / kPack};
  };
  const SharedRow<kPack> key = row(team, 0), d_keys = row(team, 1), d_values = row(team, 2), iclrs = row(team, 3);
  const ColumnSums<kPack> sums(p.tokens_at_once, place < p.tokens_at_once ? place : 0, group * D, kParameters,
                               p.shared_sums ? rows + p.teams.PerBlock() * kRows * D : nullptr,
                               p.parts + part * kParameters * width + kv * group * D, width);
  for (int64_t first = part * p.tokens_at_once; first < tokens; first += parts * p.tokens_at_once) {
    const int64_t token = first + place, shared = (token * in.kv_heads + kv) * D;
    const bool active = place < p.tokens_at_once && token < tokens;
    const Tables tables(in, active ? token : 0);
    ForPacks<kPack>(begin, active ? D : 0, step,
                    [&](int i) { key.Store(i, Rotated<kPack>(tables, static_cast<const T*>(in.k) + shared, i)); });
    // All teams go through the heads together, for the sums over teams.
    for (int h = slot; h - slot < group; h += p.heads_at_once) {
      const int end = active && h < group ? D : 0;
      const int64_t channel = (kv * group + h) * D, at = token * width + channel;
      const float* k_k = in.balance_state ? nullptr : in.k_k + channel;
      const R *da_result = static_cast<const R*>(d.a) + at, *db_result = static_cast<const R*>(d.b) + at,
              *dk_result = static_cast<const R*>(d.k) + at;
      const T *a_logit = static_cast<const T*>(in.a) + at, *w_logit = static_cast<const T*>(in.w) + at;
      bool floored;
      const float inverse = InverseNorm(key, k_k, begin, end, step, p.teams.size, &floored);
      // d kk, and its component along kk that the normalisation removes.
      float along = 0;
      ForPacks<kPack>(begin, end, step, [&](int i) {
        const Pack<kPack> iclr = Gate(Load<kPack>(a_logit + i), in.a0 + channel + i), kk = Direction(key, k_k, i),
                          da = Load<kPack>(da_result + i), db = Load<kPack>(db_result + i);
        iclrs.Store(i, iclr);
        for (int e = 0; e < kPack; ++e) along += kk[e] * (db[e] * iclr[e] - da[e]);
        Store(static_cast<T*>(d.dq) + at + i, RotatedBack<kPack>(tables, static_cast<const R*>(d.r) + at, i));
      });
      // Keeps the compiler from loading all that follows before this, which would take more registers than there are.
      SyncWarp();
      ForPacks<kPack>(begin, end, step, [&](int i) {
        Pack<kPack> dv = Load<kPack>(static_cast<const R*>(d.v) + at + i);
        if (in.v_mix != nullptr) {
          const Pack<kPack> mix = Gate(Load<kPack>(static_cast<const T*>(in.v_mix) + at + i), in.v0 + channel + i),
                            v_first = Load<kPack>(static_cast<const R*>(in.v_first) + at + i),
                            v = Load<kPack>(static_cast<const T*>(in.v) + shared + i);
          Pack<kPack> dv_first, d_mix;
          for (int e = 0; e < kPack; ++e) {
            dv_first[e] = dv[e] * mix[e];
            dv[e] -= dv_first[e];
            d_mix[e] = dv_first[e] * (1 - mix[e]) * (v_first[e] - v[e]);
          }
          Store(static_cast<R*>(d.dv_first) + at + i, dv_first);
          Store(static_cast<T*>(d.dv_mix) + at + i, d_mix);
          sums.Add(2, h * D + i, d_mix);
        }
        Add(d_values, i, dv, h == slot);
        const Pack<kPack> decay = Gate(Load<kPack>(w_logit + i), in.w0 + channel + i);
        Pack<kPack> d_log_w = Load<kPack>(d.log_w + at + i);
        if (in.balance_state) {
          const Pack<kPack> k = key.Load(i), dk = Load<kPack>(dk_result + i);
          for (int e = 0; e < kPack; ++e) d_log_w[e] -= dk[e] * k[e] * Decay(decay[e]);
        }
        for (int e = 0; e < kPack; ++e) d_log_w[e] *= -kDecayScale * decay[e] * (1 - decay[e]);
        Store(static_cast<T*>(d.dw) + at + i, d_log_w);
        sums.Add(0, h * D + i, d_log_w);
      });
      along = SumOverTeam(along, p.teams.size, nullptr) * inverse;
      const float removed = floored ? 0 : along;
      ForPacks<kPack>(begin, end, step, [&](int i) {
        const int column = h * D + i;
        const Pack<kPack> iclr = iclrs.Load(i), direction = Direction(key, k_k, i), da = Load<kPack>(da_result + i),
                          db = Load<kPack>(db_result + i);
        Pack<kPack> d_iclr, d_key;
        for (int e = 0; e < kPack; ++e) {
          const float kk = direction[e] * inverse;
          d_iclr[e] = db[e] * kk;
          d_key[e] = (db[e] * iclr[e] - da[e] - kk * removed) * inverse;
        }
        const Pack<kPack> k = key.Load(i), dk = Load<kPack>(dk_result + i);
        if (in.balance_state) {
          const Pack<kPack> decay = Gate(Load<kPack>(w_logit + i), in.w0 + channel + i);
          for (int e = 0; e < kPack; ++e) {
            d_key[e] += dk[e] * (1 - Decay(decay[e]) + iclr[e]);
            d_iclr[e] += dk[e] * k[e];
          }
        } else {
          const Pack<kPack> k_a = Load<kPack>(in.k_a + channel + i), factor = Load<kPack>(k_k + i);
          Pack<kPack> x;
          for (int e = 0; e < kPack; ++e) x[e] = d_key[e] * k[e];
          sums.Add(3, column, x);
          for (int e = 0; e < kPack; ++e) {
            d_key[e] = d_key[e] * factor[e] + dk[e] * ((iclr[e] - 1) * k_a[e] + 1);
            d_iclr[e] += dk[e] * k[e] * k_a[e];
            x[e] = dk[e] * k[e] * (iclr[e] - 1);
          }
          sums.Add(4, column, x);
        }
        Add(d_keys, i, d_key, h == slot);
        for (int e = 0; e < kPack; ++e) d_iclr[e] *= iclr[e] * (1 - iclr[e]);
        Store(static_cast<T*>(d.da) + at + i, d_iclr);
        sums.Add(1, column, d_iclr);
      });
    }
    SyncThreads();
    // The first team of each token adds up what its teams left.
    if (slot == 0 && active) {
      const int slots = group < p.heads_at_once ? group : p.heads_at_once;
      const auto total = [&](int which, int i) {
        Pack<kPack> sum = {};
        for (int s = 0; s < slots; ++s) {
          const Pack<kPack> share = row(team + s, which).Load(i);
          for (int e = 0; e < kPack; ++e) sum[e] += share[e];
        }
        return sum;
      };
      ForPacks<kPack>(begin, D, step, [&](int i) {
        Pack<kPack> dk = total(1, i);
        if (tables.cos != nullptr)
          dk = RotateBack(dk, total(1, RotationPartner(i, tables.half)), tables.cos, tables.sin, i, tables.half);
        Store(static_cast<T*>(d.dk) + shared + i, dk);
        Store(static_cast<T*>(d.dv) + shared + i, total(2, i));
      });
    }
    SyncThreads();
  }
  sums.Finish();
}

template <typename F>
Error WithTypes(const Rwkv7PrepareArguments& in, int pack, const F& f) {
  return WithElement(in.bf16, [&](auto logit) {
    return WithElement(in.results_bf16,
                       [&](auto result) { return WithPack(pack, [&](auto size) { return f(size, logit, result); }); });
  });
}

// Rows are heads, or, where they are rotated, halves of heads.
int PackSizeOf(const Rwkv7PrepareArguments& in) {
  if (in.head_dim > kMaxPackedHeadDim) return 1;
  return PackSize(
      in.cos != nullptr ? in.head_dim / 2 : in.head_dim,
      {in.q, in.k, in.v, in.w, in.a, in.v_mix, in.v_first, in.cos, in.sin, in.w0, in.a0, in.v0, in.k_k, in.k_a});
}

// Part of a warp, in blocks of `threads`.
Teams TeamsOf(const Rwkv7PrepareArguments& in, int pack, int threads) {
  return {TeamsFor(in.head_dim / pack, kMaxThreads, /*lane_packs=*/kRwkv7PrepareMaxHeadDim).size, threads};
}

// With `pack` elements in a pack.
struct BackwardPlan {
  BackwardPlan(const Rwkv7PrepareArguments& in, int pack) {
    const int64_t group = in.heads / in.kv_heads, tokens = in.batch * in.time;
    for (int threads = kMaxThreads;; threads /= 2) {
      teams = TeamsOf(in, pack, threads);
      heads_at_once = static_cast<int>(std::min<int64_t>(group, teams.PerBlock()));
      tokens_at_once = teams.PerBlock() / heads_at_once;
      row_floats = teams.PerBlock() * kRows * in.head_dim;
      sum_floats = SumFloats(tokens_at_once, kParameters * group * in.head_dim, row_floats);
      // One copy of the sums can do without shared memory.
      if (sum_floats != 0 || tokens_at_once == 1) break;
    }
    const int64_t blocks = tokens / (8 * tokens_at_once), most = 132 * 1024 / teams.threads / in.kv_heads;
    parts = std::clamp<int64_t>(blocks, 1, std::max<int64_t>(most, 1));
  }
  Teams teams;
  int heads_at_once, tokens_at_once;
  int64_t row_floats, sum_floats, parts;
};

}  // namespace

Error Rwkv7PrepareForward(const Rwkv7PrepareArguments& in, const Rwkv7PrepareResults& y, Stream stream) {
  const int pack = std::min(PackSizeOf(in), PackSize(8, {y.r, y.log_w, y.k, y.v, y.a, y.b}));
  const Teams teams = TeamsOf(in, pack, kMaxThreads);
  return WithTypes(in, pack, [&](auto size, auto logit, auto result) {
    return Launch(Rwkv7PrepareForwardKernel<size(), decltype(logit), decltype(result)>,
                  teams.Blocks(in.batch * in.time * in.heads), 1, teams.threads,
                  teams.PerBlock() * in.head_dim * sizeof(float), stream, ForwardParameters{in, y, teams});
  });
}

int64_t Rwkv7PrepareScratchSize(const Rwkv7PrepareArguments& in) {
  return std::max(BackwardPlan(in, 1).parts, BackwardPlan(in, 8).parts) * kParameters * in.heads * in.head_dim;
}

Error Rwkv7PrepareBackward(const Rwkv7PrepareArguments& in, const Rwkv7PrepareGradients& d, float* scratch,
                           Stream stream) {
  const int pack =
      std::min(PackSizeOf(in),
               PackSize(8, {d.r, d.log_w, d.k, d.v, d.a, d.b, d.dq, d.dk, d.dv, d.dw, d.da, d.dv_mix, d.dv_first}));
  const BackwardPlan plan(in, pack);
  const BackwardParameters parameters = {
      in, d, scratch, plan.teams, plan.heads_at_once, plan.tokens_at_once, plan.sum_floats != 0};
  const Error error = WithTypes(in, pack, [&](auto size, auto logit, auto result) {
    return Launch(Rwkv7PrepareBackwardKernel<size(), decltype(logit), decltype(result)>, plan.parts * in.kv_heads, 1,
                  plan.teams.threads, (plan.row_floats + plan.sum_floats) * sizeof(float), stream, parameters);
  });
  if (error != 0) return error;
  return LaunchColumnTotals(
      {scratch, plan.parts, in.heads * in.head_dim, kParameters, {d.dw0, d.da0, d.dv0, d.dk_k, d.dk_a}}, stream);
}

}  // namespace radlads::cuda
