#include "kernels/cuda/rows.cuh"
#include "kernels/l2_distance/l2_distance_cuda.h"

namespace radlads::cuda {
namespace {

struct ForwardParameters {
  L2DistanceArguments in;
  float* norms;
  Teams teams;
};

struct SumParameters {
  int64_t rows;
  const float* norms;
  float scale;
  float* loss;
};

struct BackwardParameters {
  L2DistanceArguments in;
  const float *norms, *d_loss;
  float scale;
  void* dx;
  Teams teams;
};

template <int kPack, typename T, typename X>
__global__ void __launch_bounds__(1024) L2DistanceForwardKernel(ForwardParameters p) {
  float* const place = reinterpret_cast<float*>(SharedMemory());
  const L2DistanceArguments& in = p.in;
  const int width = in.width, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int64_t row = BlockX() * p.teams.PerBlock() + p.teams.Index();
  const bool active = row < in.rows;
  const T* target = static_cast<const T*>(in.target) + row * width;
  const X* x = static_cast<const X*>(in.x) + row * width;
  float squares = 0;
  for (int i = begin; active && i < width; i += step) {
    const Pack<kPack> a = Load<kPack>(target + i), b = Load<kPack>(x + i);
    for (int e = 0; e < kPack; ++e) squares += (a[e] - b[e]) * (a[e] - b[e]);
  }
  const float norm = Sqrt(SumOverTeam(squares, p.teams.size, place));
  if (active && begin == 0) p.norms[row] = norm;
}

// One block.
constexpr int kSumThreads = 1024;
__global__ void __launch_bounds__(kSumThreads) L2DistanceSumKernel(SumParameters p) {
  float sum = 0;
  for (int64_t row = ThreadIndex(); row < p.rows; row += kSumThreads) sum += p.norms[row];
  sum = SumOverTeam(sum, kSumThreads, reinterpret_cast<float*>(SharedMemory()));
  if (ThreadIndex() == 0) *p.loss = sum * p.scale;
}

template <int kPack, typename T, typename X>
__global__ void __launch_bounds__(1024) L2DistanceBackwardKernel(BackwardParameters p) {
  const L2DistanceArguments& in = p.in;
  const int width = in.width, step = p.teams.size * kPack, begin = p.teams.Rank() * kPack;
  const int64_t row = BlockX() * p.teams.PerBlock() + p.teams.Index();
  if (row >= in.rows) return;
  const T* target = static_cast<const T*>(in.target) + row * width;
  const X* x = static_cast<const X*>(in.x) + row * width;
  X* dx = static_cast<X*>(p.dx) + row * width;
  const float norm = p.norms[row], factor = norm == 0 ? 0 : *p.d_loss * p.scale / norm;
  for (int i = begin; i < width; i += step) {
    const Pack<kPack> a = Load<kPack>(target + i);
    Pack<kPack> b = Load<kPack>(x + i);
    for (int e = 0; e < kPack; ++e) b[e] = (b[e] - a[e]) * factor;
    Store(dx + i, b);
  }
}

template <typename F>
Error WithTypes(const L2DistanceArguments& in, int pack, const F& f) {
  return WithElement(in.target_bf16, [&](auto target) {
    return WithElement(in.x_bf16,
                       [&](auto x) { return WithPack(pack, [&](auto size) { return f(size, target, x); }); });
  });
}

}  // namespace

Error L2DistanceForward(const L2DistanceArguments& in, double scale, float* norms, float* loss, Stream stream) {
  const int pack = PackSize(in.width, {in.target, in.x});
  const Teams teams = TeamsFor(in.width / pack);
  constexpr size_t kShared = kTeamSumFloats * sizeof(float);
  const Error error = WithTypes(in, pack, [&](auto size, auto target, auto x) {
    return Launch(L2DistanceForwardKernel<size(), decltype(target), decltype(x)>, teams.Blocks(in.rows), 1,
                  teams.threads, kShared, stream, ForwardParameters{in, norms, teams});
  });
  if (error != 0) return error;
  return Launch(L2DistanceSumKernel, 1, 1, kSumThreads, kShared, stream,
                SumParameters{in.rows, norms, static_cast<float>(scale), loss});
}

Error L2DistanceBackward(const L2DistanceArguments& in, const float* norms, double scale, const float* d_loss, void* dx,
                         Stream stream) {
  const int pack = PackSize(in.width, {in.target, in.x, dx});
  const Teams teams = TeamsFor(in.width / pack);
  return WithTypes(in, pack, [&](auto size, auto target, auto x) {
    return Launch(L2DistanceBackwardKernel<size(), decltype(target), decltype(x)>, teams.Blocks(in.rows), 1,
                  teams.threads, 0, stream,
                  BackwardParameters{in, norms, d_loss, static_cast<float>(scale), dx, teams});
  });
}

}  // namespace radlads::cuda
