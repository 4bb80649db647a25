#include "kernels/cuda/rows.cuh"
#include "kernels/swiglu/swiglu_cuda.h"

namespace radlads::cuda {
namespace {

constexpr int kThreads = 256;

struct ForwardParameters {
  int64_t count;
  const void *gate, *up;
  void* y;
};

struct BackwardParameters {
  int64_t count;
  const void *gate, *up, *dy;
  void *d_gate, *d_up;
};

// A pack for each thread.
template <int kPack>
__device__ int64_t First() {
  return (BlockX() * kThreads + ThreadIndex()) * kPack;
}
int64_t Blocks(int64_t count, int pack) {
  return (count / pack + kThreads - 1) / kThreads;
}

template <int kPack, typename T>
__global__ void __launch_bounds__(kThreads) SwiGluForwardKernel(ForwardParameters p) {
  const int64_t i = First<kPack>();
  if (i >= p.count) return;
  const Pack<kPack> gate = Load<kPack>(static_cast<const T*>(p.gate) + i);
  Pack<kPack> y = Load<kPack>(static_cast<const T*>(p.up) + i);
  for (int e = 0; e < kPack; ++e) y[e] *= gate[e] * Sigmoid(gate[e]);
  Store(static_cast<T*>(p.y) + i, y);
}

template <int kPack, typename T>
__global__ void __launch_bounds__(kThreads) SwiGluBackwardKernel(BackwardParameters p) {
  const int64_t i = First<kPack>();
  if (i >= p.count) return;
  const Pack<kPack> gate = Load<kPack>(static_cast<const T*>(p.gate) + i),
                    up = Load<kPack>(static_cast<const T*>(p.up) + i),
                    dy = Load<kPack>(static_cast<const T*>(p.dy) + i);
  Pack<kPack> d_gate, d_up;
  for (int e = 0; e < kPack; ++e) {
    const float s = Sigmoid(gate[e]), slope = s * (1 + gate[e] * (1 - s));  // of silu
    d_up[e] = dy[e] * gate[e] * s;
    d_gate[e] = dy[e] * up[e] * slope;
  }
  Store(static_cast<T*>(p.d_gate) + i, d_gate);
  Store(static_cast<T*>(p.d_up) + i, d_up);
}

}  // namespace

Error SwiGluForward(int64_t count, bool bf16, const void* gate, const void* up, void* y, Stream stream) {
  const int pack = PackSize(count, {gate, up, y});
  return WithElement(bf16, [&](auto type) {
    return WithPack(pack, [&](auto size) {
      return Launch(SwiGluForwardKernel<size(), decltype(type)>, Blocks(count, pack), 1, kThreads, 0, stream,
                    ForwardParameters{count, gate, up, y});
    });
  });
}

Error SwiGluBackward(int64_t count, bool bf16, const void* gate, const void* up, const void* dy, void* d_gate,
                     void* d_up, Stream stream) {
  const int pack = PackSize(count, {gate, up, dy, d_gate, d_up});
  return WithElement(bf16, [&](auto type) {
    return WithPack(pack, [&](auto size) {
      return Launch(SwiGluBackwardKernel<size(), decltype(type)>, Blocks(count, pack), 1, kThreads, 0, stream,
                    BackwardParameters{count, gate, up, dy, d_gate, d_up});
    });
  });
}

}  // namespace radlads::cuda
