// A team has one head of one row. In the backward pass a block keeps to one head, so that its sums
// are those of the head's channels.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/head_norm_gate/head_norm_gate_cuda.h"

namespace radlads::cuda {
namespace {

constexpr int kMaxThreads = 256;

struct ForwardParameters {
  HeadNormGateArguments in;
  void* y;
  Teams teams;
};

struct BackwardParameters {
  HeadNormGateArguments in;
  HeadNormGateGradients d;
  float* parts;  // of the gradients of weight and bias, [blocks of a head, 2, heads * head_dim]
  Teams teams;
  bool shared_sums;
};

// What turns o into the value before weight and bias: (o - mean) * factor.
struct Statistics {
  float mean, factor;
};

// Of a head; `active`: whether the team has one.
template <int kPack, typename O>
__device__ Statistics StatisticsOf(const HeadNormGateArguments& in, const Teams& teams, const RowPacks<kPack, O>& o,
                                   bool active, float* place) {
  if (in.weight == nullptr) return {0, in.scale};
  const int size = in.head_dim, step = teams.size * kPack, begin = teams.Rank() * kPack;
  float sum = 0;
  for (int i = begin; active && i < size; i += step) {
    const Pack<kPack> x = o[i];
    for (int e = 0; e < kPack; ++e) sum += x[e];
  }
  const float mean = SumOverTeam(sum, teams.size, place) / size;
  float squares = 0;
  for (int i = begin; active && i < size; i += step) {
    const Pack<kPack> x = o[i];
    for (int e = 0; e < kPack; ++e) squares += (x[e] - mean) * (x[e] - mean);
  }
  return {mean, InverseSqrt(SumOverTeam(squares, teams.size, place) / size + in.eps)};
}

template <int kPack, typename O, typename G, typename Y>
__global__ void __launch_bounds__(kMaxThreads) HeadNormGateForwardKernel(ForwardParameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const HeadNormGateArguments& in = p.in;
  const int size = in.head_dim, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int64_t head = BlockX() * p.teams.PerBlock() + p.teams.Index(), at = head * size;
  const bool active = head < in.rows * in.heads;
  const RowPacks<kPack, O> o(static_cast<const O*>(in.o) + at, begin, active && begin < size);
  const auto [mean, factor] = StatisticsOf(in, p.teams, o, active, place);
  const int64_t channel = head % in.heads * size;
  for (int i = begin; active && i < size; i += step) {
    Pack<kPack> y = o[i];
    for (int e = 0; e < kPack; ++e) y[e] = (y[e] - mean) * factor;
    if (in.weight != nullptr) {
      const Pack<kPack> weight = Load<kPack>(in.weight + channel + i), bias = Load<kPack>(in.bias + channel + i);
      for (int e = 0; e < kPack; ++e) y[e] = y[e] * weight[e] + bias[e];
    }
    if (in.gate != nullptr) {
      const Pack<kPack> gate = Load<kPack>(static_cast<const G*>(in.gate) + at + i);
      for (int e = 0; e < kPack; ++e) y[e] *= in.gate_sigmoid ? Sigmoid(gate[e]) : gate[e];
    }
    Store(static_cast<Y*>(p.y) + at + i, y);
  }
}

template <int kPack, typename O, typename G, typename Y>
__global__ void __launch_bounds__(kMaxThreads) HeadNormGateBackwardKernel(BackwardParameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const HeadNormGateArguments& in = p.in;
  const bool norms = in.weight != nullptr;
  const int size = in.head_dim, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int64_t head = BlockX() % in.heads, part = BlockX() / in.heads, width = in.heads * size, channel = head * size,
                parts = GridX() / in.heads;
  const ColumnSums<kPack> sums(p.teams.PerBlock(), p.teams.Index(), norms ? size : 0, 2,
                               p.shared_sums ? place + kTeamSumFloats : nullptr, p.parts + part * 2 * width + channel,
                               width);
  for (int64_t first = part * p.teams.PerBlock(); first < in.rows; first += parts * p.teams.PerBlock()) {
    const int64_t row = first + p.teams.Index(), at = row * width + channel;
    const bool active = row < in.rows, has_first = active && begin < size;
    const RowPacks<kPack, O> o(static_cast<const O*>(in.o) + at, begin, has_first);
    const RowPacks<kPack, G> gate(static_cast<const G*>(in.gate) + at, begin, has_first && in.gate != nullptr);
    const RowPacks<kPack, Y> dy(static_cast<const Y*>(p.d.dy) + at, begin, has_first);
    const auto [mean, factor] = StatisticsOf(in, p.teams, o, active, place);
    // The multiplier that the gate is.
    const auto multiplier = [&](int i) {
      Pack<kPack> x = gate[i];
      for (int e = 0; e < kPack; ++e) x[e] = in.gate_sigmoid ? Sigmoid(x[e]) : x[e];
      return x;
    };
    float d_sum = 0, d_along = 0;
    for (int i = begin; active && i < size; i += step) {
      Pack<kPack> x = o[i], dz = dy[i], weight;
      for (int e = 0; e < kPack; ++e) {
        x[e] = (x[e] - mean) * factor;
        weight[e] = 1;
      }
      Pack<kPack> z = x;
      if (norms) {
        weight = Load<kPack>(in.weight + channel + i);
        const Pack<kPack> bias = Load<kPack>(in.bias + channel + i);
        for (int e = 0; e < kPack; ++e) z[e] = x[e] * weight[e] + bias[e];
      }
      if (in.gate != nullptr) {
        const Pack<kPack> m = multiplier(i);
        for (int e = 0; e < kPack; ++e) {
          z[e] *= dz[e] * (in.gate_sigmoid ? m[e] * (1 - m[e]) : 1);
          dz[e] *= m[e];
        }
        Store(static_cast<G*>(p.d.d_gate) + at + i, z);
      }
      if (!norms) {
        for (int e = 0; e < kPack; ++e) dz[e] *= factor;
        Store(static_cast<O*>(p.d.d_o) + at + i, dz);
        continue;
      }
      sums.Add(1, i, dz);
      for (int e = 0; e < kPack; ++e) {
        d_sum += dz[e] * weight[e];
        d_along += dz[e] * weight[e] * x[e];
        dz[e] *= x[e];
      }
      sums.Add(0, i, dz);
    }
    if (!norms) continue;
    const float d_mean = SumOverTeam(d_sum, p.teams.size, place) / size;
    const float d_along_mean = SumOverTeam(d_along, p.teams.size, place) / size;
    for (int i = begin; active && i < size; i += step) {
      Pack<kPack> x = o[i], dx = dy[i];
      const Pack<kPack> weight = Load<kPack>(in.weight + channel + i);
      for (int e = 0; e < kPack; ++e) dx[e] *= weight[e];
      if (in.gate != nullptr) {
        const Pack<kPack> m = multiplier(i);
        for (int e = 0; e < kPack; ++e) dx[e] *= m[e];
      }
      for (int e = 0; e < kPack; ++e) x[e] = (dx[e] - d_mean - (x[e] - mean) * factor * d_along_mean) * factor;
      Store(static_cast<O*>(p.d.d_o) + at + i, x);
    }
  }
  sums.Finish();
}

template <typename F>
Error WithTypes(const HeadNormGateArguments& in, int pack, const F& f) {
  return WithElement(in.o_bf16, [&](auto o) {
    return WithElement(in.gate_bf16, [&](auto gate) {
      return WithElement(in.out_bf16,
                         [&](auto y) { return WithPack(pack, [&](auto size) { return f(size, o, gate, y); }); });
    });
  });
}

// With `pack` elements in a pack.
struct BackwardPlan {
  BackwardPlan(const HeadNormGateArguments& in, int pack)
      : teams(TeamsFor(in.head_dim / pack, kMaxThreads)),
        blocks_of_head(
            std::clamp<int64_t>(SumBlocks(teams, in.rows * in.heads) / in.heads, 1, std::max<int64_t>(in.rows, 1))),
        sum_floats(SumFloats(teams.PerBlock(), 2 * in.head_dim)) {}
  Teams teams;
  int64_t blocks_of_head, sum_floats;
};

}  // namespace

Error HeadNormGateForward(const HeadNormGateArguments& in, void* y, Stream stream) {
  const int pack = PackSize(in.head_dim, {in.o, in.weight, in.bias, in.gate, y});
  const Teams teams = TeamsFor(in.head_dim / pack, kMaxThreads);
  return WithTypes(in, pack, [&](auto size, auto o, auto gate, auto out) {
    return Launch(HeadNormGateForwardKernel<size(), decltype(o), decltype(gate), decltype(out)>,
                  teams.Blocks(in.rows * in.heads), 1, teams.threads, kTeamSumFloats * sizeof(float), stream,
                  ForwardParameters{in, y, teams});
  });
}

int64_t HeadNormGateScratchSize(const HeadNormGateArguments& in) {
  if (in.weight == nullptr || in.heads == 0) return 0;
  return std::max(BackwardPlan(in, 1).blocks_of_head, BackwardPlan(in, 8).blocks_of_head) * 2 * in.heads * in.head_dim;
}

Error HeadNormGateBackward(const HeadNormGateArguments& in, const HeadNormGateGradients& d, float* scratch,
                           Stream stream) {
  if (in.heads == 0) return 0;
  const int pack = PackSize(in.head_dim, {in.o, in.weight, in.bias, in.gate, d.dy, d.d_o, d.d_gate});
  const BackwardPlan plan(in, pack);
  const BackwardParameters parameters = {in, d, scratch, plan.teams, plan.sum_floats != 0};
  const Error error = WithTypes(in, pack, [&](auto size, auto o, auto gate, auto out) {
    return Launch(HeadNormGateBackwardKernel<size(), decltype(o), decltype(gate), decltype(out)>,
                  plan.blocks_of_head * in.heads, 1, plan.teams.threads,
                  (kTeamSumFloats + plan.sum_floats) * sizeof(float), stream, parameters);
  });
  if (error != 0 || in.weight == nullptr) return error;
  return LaunchColumnTotals({scratch, plan.blocks_of_head, in.heads * in.head_dim, 2, {d.d_weight, d.d_bias}}, stream);
}

}  // namespace radlads::cuda
