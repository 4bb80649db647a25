// A team has all heads of one token.
#include "kernels/cuda/rows.cuh"
#include "kernels/rope/rope_cuda.h"
#include "kernels/rope/rotation.cuh"

namespace radlads::cuda {
namespace {

struct Parameters {
  RopeArguments in;
  const void* x;
  void* y;
  Teams teams;
};

template <bool kBack, int kPack, typename T>
__global__ void __launch_bounds__(1024) RopeKernel(Parameters p) {
  const RopeArguments& in = p.in;
  const int64_t token = BlockX() * p.teams.PerBlock() + p.teams.Index();
  if (token >= in.batch * in.time) return;
  const int head_dim = in.head_dim, packs = head_dim / kPack, half = head_dim / 2;
  const int64_t first = token * in.heads * head_dim, table = (in.tables_per_batch ? token : token % in.time) * head_dim;
  for (int j = p.teams.Rank(); j < in.heads * packs; j += p.teams.size) {
    const int64_t head = first + static_cast<int64_t>(j / packs) * head_dim;
    const int i = j % packs * kPack;
    const T* x = static_cast<const T*>(p.x) + head;
    const Pack<kPack> here = Load<kPack>(x + i), partner = Load<kPack>(x + RotationPartner(i, half));
    const Pack<kPack> y = kBack ? RotateBack(here, partner, in.cos + table, in.sin + table, i, half)
                                : Rotate(here, partner, in.cos + table, in.sin + table, i, half);
    Store(static_cast<T*>(p.y) + head + i, y);
  }
}

template <bool kBack>
Error Run(const RopeArguments& in, const void* x, void* y, Stream stream) {
  const int pack = PackSize(in.head_dim / 2, {in.cos, in.sin, x, y});
  const Teams teams = TeamsFor(in.heads * in.head_dim / pack);
  return WithElement(in.bf16, [&](auto type) {
    return WithPack(pack, [&](auto size) {
      return Launch(RopeKernel<kBack, size(), decltype(type)>, teams.Blocks(in.batch * in.time), 1, teams.threads, 0,
                    stream, Parameters{in, x, y, teams});
    });
  });
}

}  // namespace

Error RopeForward(const RopeArguments& in, const void* x, void* y, Stream stream) {
  return Run<false>(in, x, y, stream);
}

Error RopeBackward(const RopeArguments& in, const void* dy, void* dx, Stream stream) {
  return Run<true>(in, dy, dx, stream);
}

}  // namespace radlads::cuda
