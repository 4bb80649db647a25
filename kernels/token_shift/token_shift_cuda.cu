// Rows are tokens of all sequences. In the backward pass a team walks backward through rows of its own,
// so that each finds what the one after it sends back.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/token_shift/token_shift_cuda.h"

namespace radlads::cuda {
namespace {

constexpr int kMaxThreads = 256;

struct ForwardParameters {
  TokenShiftArguments in;
  void* y[kTokenShiftMaxMixes];
  Teams teams;
};

struct BackwardParameters {
  TokenShiftArguments in;
  const void* dy[kTokenShiftMaxMixes];
  void *dx, *d_amounts;
  float* d_previous;
  float* parts;  // of the gradient of maa, [blocks, mixes, width]
  Teams teams;
  int slice;  // columns of a block, at most a pack for each thread
};

__device__ bool IsReset(const TokenShiftArguments& in, int64_t row) {
  return in.reset != nullptr && in.reset[row];
}

// The token before `row`, at column i.
template <int kPack, typename X>
__device__ Pack<kPack> TokenBefore(const TokenShiftArguments& in, int64_t row, int i) {
  const bool first = row % in.time == 0;
  if (IsReset(in, row) || (first && in.previous == nullptr)) return Pack<kPack>{};
  if (first) return Load<kPack>(in.previous + row / in.time * in.width + i);
  return Load<kPack>(static_cast<const X*>(in.x) + (row - 1) * in.width + i);
}

// maa + amounts of a mix.
template <int kPack, typename X>
__device__ Pack<kPack> Amount(const TokenShiftArguments& in, int mix, int64_t row, int i) {
  Pack<kPack> amount = Load<kPack>(in.maa + mix * in.width + i);
  if (in.amounts == nullptr) return amount;
  const Pack<kPack> more =
      Load<kPack>(static_cast<const X*>(in.amounts) + (mix * in.batch * in.time + row) * in.width + i);
  for (int e = 0; e < kPack; ++e) amount[e] += more[e];
  return amount;
}

template <int kPack, typename X>
__global__ void __launch_bounds__(kMaxThreads) TokenShiftForwardKernel(const __grid_constant__ ForwardParameters p) {
  const TokenShiftArguments& in = p.in;
  const int width = in.width, step = p.teams.size * kPack, mixes = in.mixes;
  const int64_t row = BlockX() * p.teams.PerBlock() + p.teams.Index();
  if (row >= in.batch * in.time) return;
  for (int i = p.teams.Rank() * kPack; i < width; i += step) {
    const Pack<kPack> x = Load<kPack>(static_cast<const X*>(in.x) + row * width + i);
    Pack<kPack> delta = TokenBefore<kPack, X>(in, row, i);
    for (int e = 0; e < kPack; ++e) delta[e] -= x[e];
#pragma unroll 1
    for (int mix = 0; mix < mixes; ++mix) {
      Pack<kPack> y = Amount<kPack, X>(in, mix, row, i);
      for (int e = 0; e < kPack; ++e) y[e] = delta[e] * y[e] + x[e];
      Store(static_cast<X*>(p.y[mix]) + row * width + i, y);
    }
  }
}

// What `row` sends back to the token before it, but for resets.
template <int kPack, typename X>
__device__ Pack<kPack> TokenBeforeGradient(const BackwardParameters& p, int64_t row, int i) {
  Pack<kPack> sum = {};
  for (int mix = 0; mix < p.in.mixes; ++mix) {
    if (p.dy[mix] == nullptr) continue;
    const Pack<kPack> amount = Amount<kPack, X>(p.in, mix, row, i),
                      g = Load<kPack>(static_cast<const X*>(p.dy[mix]) + row * p.in.width + i);
    for (int e = 0; e < kPack; ++e) sum[e] += g[e] * amount[e];
  }
  return sum;
}

template <int kPack, typename X>
__global__ void __launch_bounds__(kMaxThreads) TokenShiftBackwardKernel(const __grid_constant__ BackwardParameters p) {
  const TokenShiftArguments& in = p.in;
  const int mixes = in.mixes, width = in.width, first = BlockY() * p.slice,
            columns = width - first < p.slice ? width - first : p.slice;
  const int64_t rows = in.batch * in.time, walkers = GridX() * p.teams.PerBlock(),
                walker = BlockX() * p.teams.PerBlock() + p.teams.Index(), begin = rows * walker / walkers,
                end = rows * (walker + 1) / walkers;
  const ColumnSums<kPack> d_maa(p.teams.PerBlock(), p.teams.Index(), columns, mixes,
                                reinterpret_cast<float*>(SharedMemory()), p.parts + BlockX() * mixes * width + first,
                                width);
  const int i = first + p.teams.Rank() * kPack;
  if (i < first + columns) {
    Pack<kPack> carry = {};  // what the token after this one sends back
    if (begin < end && end < rows && !IsReset(in, end)) carry = TokenBeforeGradient<kPack, X>(p, end, i);
    for (int64_t row = end - 1; row >= begin; --row) {
      if ((row + 1) % in.time == 0) carry = {};
      const int64_t at = row * width + i;
      const Pack<kPack> x = Load<kPack>(static_cast<const X*>(in.x) + at);
      Pack<kPack> delta = TokenBefore<kPack, X>(in, row, i), d_now = carry, d_delta = {};
      for (int e = 0; e < kPack; ++e) delta[e] -= x[e];
#pragma unroll 1
      for (int mix = 0; mix < mixes; ++mix) {
        Pack<kPack> g = {};
        if (p.dy[mix] != nullptr) {
          g = Load<kPack>(static_cast<const X*>(p.dy[mix]) + at);
          const Pack<kPack> amount = Amount<kPack, X>(in, mix, row, i);
          for (int e = 0; e < kPack; ++e) {
            d_now[e] += g[e];
            d_delta[e] += g[e] * amount[e];
            g[e] *= delta[e];
          }
          d_maa.Add(mix, i - first, g);
        }
        if (p.d_amounts != nullptr) Store(static_cast<X*>(p.d_amounts) + mix * rows * width + at, g);
      }
      for (int e = 0; e < kPack; ++e) d_now[e] -= d_delta[e];
      Store(static_cast<X*>(p.dx) + at, d_now);
      carry = IsReset(in, row) ? Pack<kPack>{} : d_delta;
      if (row % in.time == 0 && p.d_previous != nullptr) Store(p.d_previous + row / in.time * width + i, carry);
    }
  }
  d_maa.Finish();
}

// With `pack` elements in a pack.
struct BackwardPlan {
  BackwardPlan(const TokenShiftArguments& in, int pack) {
    const int64_t packs = in.width / pack;
    slices = static_cast<int>((packs + kMaxThreads - 1) / kMaxThreads);
    const int64_t slice_packs = slices == 0 ? 0 : (packs + slices - 1) / slices;
    slice = static_cast<int>(slice_packs * pack);
    teams = TeamsFor(slice_packs, kMaxThreads, /*lane_packs=*/1);
    // At the end of its rows a team reads one more: let it have 16 or more.
    blocks = SumBlocks(teams, in.batch * in.time / 2);
    sum_floats = SumFloats(teams.PerBlock(), in.mixes * slice);
  }
  Teams teams;
  int slice, slices;
  int64_t blocks, sum_floats;
};

}  // namespace

Error TokenShiftForward(const TokenShiftArguments& in, void* const* y, Stream stream) {
  ForwardParameters parameters = {.in = in};
  int pack = PackSize(in.width, {in.x, in.previous, in.maa, in.amounts});
  for (int64_t mix = 0; mix < in.mixes; ++mix) {
    parameters.y[mix] = y[mix];
    pack = std::min(pack, PackSize(in.width, {y[mix]}));
  }
  const Teams& teams = parameters.teams = TeamsFor(in.width / pack, kMaxThreads);
  return WithElement(in.bf16, [&](auto type) {
    return WithPack(pack, [&](auto size) {
      return Launch(TokenShiftForwardKernel<size(), decltype(type)>, teams.Blocks(in.batch * in.time), 1, teams.threads,
                    0, stream, parameters);
    });
  });
}

int64_t TokenShiftScratchSize(const TokenShiftArguments& in) {
  return std::max(BackwardPlan(in, 1).blocks, BackwardPlan(in, 8).blocks) * in.mixes * in.width;
}

Error TokenShiftBackward(const TokenShiftArguments& in, const TokenShiftGradients& d, float* scratch, Stream stream) {
  BackwardParameters parameters = {
      .in = in, .dx = d.dx, .d_amounts = d.d_amounts, .d_previous = d.d_previous, .parts = scratch};
  int pack = PackSize(in.width, {in.x, in.previous, in.maa, in.amounts, d.dx, d.d_previous, d.d_amounts});
  for (int64_t mix = 0; mix < in.mixes; ++mix) {
    parameters.dy[mix] = d.dy[mix];
    pack = std::min(pack, PackSize(in.width, {d.dy[mix]}));
  }
  const BackwardPlan plan(in, pack);
  parameters.teams = plan.teams;
  parameters.slice = plan.slice;
  const Error error = WithElement(in.bf16, [&](auto type) {
    return WithPack(pack, [&](auto size) {
      return Launch(TokenShiftBackwardKernel<size(), decltype(type)>, plan.blocks, plan.slices, plan.teams.threads,
                    plan.sum_floats * sizeof(float), stream, parameters);
    });
  });
  if (error != 0) return error;
  return LaunchColumnTotals({scratch, plan.blocks, in.mixes * in.width, 1, {d.d_maa}}, stream);
}

}  // namespace radlads::cuda
