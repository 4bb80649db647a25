#include "kernels/swiglu/swiglu_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/swiglu/swiglu_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

void ForwardRange(bool bf16, const void* gate, const void* up, void* y, int64_t first, int64_t last) {
  WithElementType(bf16, [&](auto type) HWY_ATTR {
    using T = decltype(type);
    const T *g = static_cast<const T*>(gate) + first, *u = static_cast<const T*>(up) + first;
    T* out = static_cast<T*>(y) + first;
    ForEachVector(last - first, [&](size_t i, auto part) HWY_ATTR {
      const auto x = Load(g + i, part);
      Store(hn::Mul(hn::Mul(x, Sigmoid(x)), Load(u + i, part)), out + i, part);
    });
  });
}

void BackwardRange(bool bf16, const void* gate, const void* up, const void* dy, void* d_gate, void* d_up, int64_t first,
                   int64_t last) {
  WithElementType(bf16, [&](auto type) HWY_ATTR {
    using T = decltype(type);
    const T *g = static_cast<const T*>(gate) + first, *u = static_cast<const T*>(up) + first;
    const T* d_out = static_cast<const T*>(dy) + first;
    T *dg = static_cast<T*>(d_gate) + first, *du = static_cast<T*>(d_up) + first;
    const FloatV one = Splat(1.0f);
    ForEachVector(last - first, [&](size_t i, auto part) HWY_ATTR {
      const auto x = Load(g + i, part), d = Load(d_out + i, part), s = Sigmoid(x);
      Store(hn::Mul(d, hn::Mul(x, s)), du + i, part);
      const auto slope = hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));  // of silu
      Store(hn::Mul(hn::Mul(d, Load(u + i, part)), slope), dg + i, part);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRange);
HWY_EXPORT(BackwardRange);

// Threads get whole blocks of this many elements, so that vectors and tails fall alike for any number of threads.
constexpr int64_t kBlock = 4096;

void SwiGluForwardCpu(int64_t count, bool bf16, const void* gate, const void* up, void* y) {
  ParallelFor((count + kBlock - 1) / kBlock, 2, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRange)(bf16, gate, up, y, first * kBlock, std::min(last * kBlock, count));
  });
}

void SwiGluBackwardCpu(int64_t count, bool bf16, const void* gate, const void* up, const void* dy, void* d_gate,
                       void* d_up) {
  ParallelFor((count + kBlock - 1) / kBlock, 2, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(BackwardRange)
    (bf16, gate, up, dy, d_gate, d_up, first * kBlock, std::min(last * kBlock, count));
  });
}

}  // namespace radlads
#endif  // HWY_ONCE
