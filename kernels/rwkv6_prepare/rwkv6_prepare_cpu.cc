#include "kernels/rwkv6_prepare/rwkv6_prepare_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rwkv6_prepare/rwkv6_prepare_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

constexpr float kMinLogDecay = -5.0f;

template <class T>
void ForwardRow(const Rwkv6PrepareArguments& p, const Rwkv6PrepareResults& y, int64_t row) {
  const int64_t D = p.head_dim, group = p.heads / p.kv_heads;
  for (int64_t h = 0; h < p.heads; ++h) {
    const int64_t channel = h * D, at = row * p.heads * D + channel;
    const int64_t kv_at = (row * p.kv_heads + h / group) * D;
    const T *k = static_cast<const T*>(p.k) + kv_at, *v = static_cast<const T*>(p.v) + kv_at;
    const T* low = static_cast<const T*>(p.low) + at;
    ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
      const auto decay = Exp(hn::Add(Load(low + i, size), Load(p.w0 + channel + i, size)));
      const auto log_w = hn::Max(hn::Neg(decay), Splat(kMinLogDecay));
      auto key = Load(k + i, size);
      if (p.balance_state) key = hn::Mul(key, hn::Sub(Splat(1.0f), Exp(log_w)));
      Store(hn::IfThenElse(hn::IsNaN(decay), decay, log_w), y.log_w + at + i, size);
      Store(key, y.k + at + i, size);
      Store(Load(v + i, size), y.v + at + i, size);
    });
  }
}

void ForwardRows(const Rwkv6PrepareArguments& p, const Rwkv6PrepareResults& y, int64_t first, int64_t last) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR {
    for (int64_t row = first; row < last; ++row) ForwardRow<decltype(type)>(p, y, row);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRows);

void Rwkv6PrepareForwardCpu(const Rwkv6PrepareArguments& arguments, const Rwkv6PrepareResults& results) {
  ParallelFor(arguments.rows, 8, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, results, first, last);
  });
}

}  // namespace radlads
#endif  // HWY_ONCE
