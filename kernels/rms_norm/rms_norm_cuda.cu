#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/rms_norm/rms_norm_cuda.h"

namespace radlads::cuda {
namespace {

constexpr int kBackwardThreads = 256;

struct ForwardParameters {
  RmsNormArguments in;
  void* y;
  Teams teams;
};

struct BackwardParameters {
  RmsNormArguments in;
  const void* dy;
  void* dx;
  float* parts;  // of the gradient of the weight, [blocks, width]
  Teams teams;
  bool shared_sums;
};

// 1 / sqrt(mean(x^2) + eps) of a row; `active`: whether the team has one.
template <int kPack, typename X>
__device__ float InverseRms(const RmsNormArguments& in, const Teams& teams, const RowPacks<kPack, X>& x, bool active,
                            float* place) {
  const int width = in.width;
  float squares = 0;
  for (int i = teams.Rank() * kPack; active && i < width; i += teams.size * kPack) {
    const Pack<kPack> values = x[i];
    for (int e = 0; e < kPack; ++e) squares += values[e] * values[e];
  }
  return InverseSqrt(SumOverTeam(squares, teams.size, place) / width + in.eps);
}

template <int kPack, typename X, typename Y>
__global__ void __launch_bounds__(1024) RmsNormForwardKernel(ForwardParameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const RmsNormArguments& in = p.in;
  const int64_t row = BlockX() * p.teams.PerBlock() + p.teams.Index();
  const int width = in.width, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const bool active = row < in.rows;
  const RowPacks<kPack, X> x(static_cast<const X*>(in.x) + row * in.width, begin, active && begin < width);
  Y* y = static_cast<Y*>(p.y) + row * in.width;
  const float factor = InverseRms(in, p.teams, x, active, place);
  for (int i = begin; active && i < width; i += step) {
    Pack<kPack> values = x[i];
    const Pack<kPack> weight = Load<kPack>(in.weight + i);
    for (int e = 0; e < kPack; ++e) values[e] = RoundAs<Y>(values[e] * factor) * weight[e];
    Store(y + i, values);
  }
}

template <int kPack, typename X, typename Y>
__global__ void __launch_bounds__(kBackwardThreads, 3) RmsNormBackwardKernel(BackwardParameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const RmsNormArguments& in = p.in;
  const int width = in.width, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const ColumnSums<kPack> d_weight(p.teams.PerBlock(), p.teams.Index(), width, 1,
                                   p.shared_sums ? place + kTeamSumFloats : nullptr, p.parts + BlockX() * width, width);
  // All teams of a block go through the loop together.
  for (int64_t first = BlockX() * p.teams.PerBlock(); first < in.rows; first += GridX() * p.teams.PerBlock()) {
    const int64_t row = first + p.teams.Index();
    const bool active = row < in.rows, has_first = active && begin < width;
    const RowPacks<kPack, X> x(static_cast<const X*>(in.x) + row * in.width, begin, has_first);
    const RowPacks<kPack, Y> dy(static_cast<const Y*>(p.dy) + row * in.width, begin, has_first);
    X* dx = static_cast<X*>(p.dx) + row * in.width;
    const float factor = InverseRms(in, p.teams, x, active, place);
    float along = 0;
#pragma unroll 1
    for (int i = begin; active && i < width; i += step) {
      const Pack<kPack> values = x[i], gradient = dy[i], weight = Load<kPack>(in.weight + i);
      Pack<kPack> share;
      for (int e = 0; e < kPack; ++e) {
        const float normalised = values[e] * factor;
        share[e] = gradient[e] * RoundAs<Y>(normalised);
        along += gradient[e] * weight[e] * normalised;
      }
      d_weight.Add(0, i, share);
    }
    const float mean = SumOverTeam(along, p.teams.size, place) / width;
#pragma unroll 1
    for (int i = begin; active && i < width; i += step) {
      Pack<kPack> values = x[i];
      const Pack<kPack> gradient = dy[i], weight = Load<kPack>(in.weight + i);
      for (int e = 0; e < kPack; ++e) values[e] = (gradient[e] * weight[e] - values[e] * factor * mean) * factor;
      Store(dx + i, values);
    }
  }
  d_weight.Finish();
}

// With `pack` elements in a pack.
struct BackwardPlan {
  BackwardPlan(const RmsNormArguments& in, int pack)
      : teams(TeamsFor(in.width / pack, kBackwardThreads)),
        blocks(SumBlocks(teams, in.rows)),
        sum_floats(SumFloats(teams.PerBlock(), in.width)) {}
  Teams teams;
  int64_t blocks, sum_floats;
};

}  // namespace

Error RmsNormForward(const RmsNormArguments& in, void* y, Stream stream) {
  const int pack = PackSize(in.width, {in.x, in.weight, y});
  const Teams teams = TeamsFor(in.width / pack);
  return WithElement(in.x_bf16, [&](auto x_type) {
    return WithElement(in.y_bf16, [&](auto y_type) {
      return WithPack(pack, [&](auto size) {
        return Launch(RmsNormForwardKernel<size(), decltype(x_type), decltype(y_type)>, teams.Blocks(in.rows), 1,
                      teams.threads, kTeamSumFloats * sizeof(float), stream, ForwardParameters{in, y, teams});
      });
    });
  });
}

int64_t RmsNormScratchSize(const RmsNormArguments& in) {
  return std::max(BackwardPlan(in, 1).blocks, BackwardPlan(in, 8).blocks) * in.width;
}

Error RmsNormBackward(const RmsNormArguments& in, const void* dy, void* dx, float* d_weight, float* scratch,
                      Stream stream) {
  const int pack = PackSize(in.width, {in.x, in.weight, dy, dx});
  const BackwardPlan plan(in, pack);
  const BackwardParameters parameters = {in, dy, dx, scratch, plan.teams, plan.sum_floats != 0};
  const Error error = WithElement(in.x_bf16, [&](auto x_type) {
    return WithElement(in.y_bf16, [&](auto y_type) {
      return WithPack(pack, [&](auto size) {
        return Launch(RmsNormBackwardKernel<size(), decltype(x_type), decltype(y_type)>, plan.blocks, 1,
                      plan.teams.threads, (kTeamSumFloats + plan.sum_floats) * sizeof(float), stream, parameters);
      });
    });
  });
  if (error != 0) return error;
  return LaunchColumnTotals({scratch, plan.blocks, in.width, 1, {d_weight}}, stream);
}

}  // namespace radlads::cuda
