#include "kernels/wkv/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv/rows.cc"
// As in recurrence_simd.cc.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/foreach_target.h>  // must come before the next two
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

template <class T, class Map>
HWY_INLINE void MapRows(const WkvRows& from, int64_t pitch, float* to, const Map& map) {
  const T* row = static_cast<const T*>(from.data);
  for (int64_t i = 0; i < from.count; ++i, row += from.stride, to += pitch) {
    ForEachVector(from.width, [&](size_t j, auto part) HWY_ATTR { Store(map(Load(row + j, part)), to + j, part); });
    std::fill(to + from.width, to + pitch, 0.0f);
  }
}

void LoadRows(const WkvRows& from, float scale, int64_t pitch, float* to) {
  const FloatV factor = Splat(scale);
  WithElementType(from.bf16, [&](auto type) HWY_ATTR {
    MapRows<decltype(type)>(from, pitch, to, [&](FloatV x) HWY_ATTR { return hn::Mul(factor, x); });
  });
}

void LoadRowsExp(const WkvRows& from, int64_t pitch, float* to) {
  const FloatV largest = Splat(89.0f);  // exp of it is infinity; hn::Exp is not made for more
  WithElementType(from.bf16, [&](auto type) HWY_ATTR {
    MapRows<decltype(type)>(from, pitch, to, [&](FloatV x) HWY_ATTR {
      const FloatV bounded = hn::IfThenElse(hn::Gt(x, largest), largest, x);
      return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(Floats(), bounded));  // hn::Exp takes NaN to 0
    });
  });
}

void StoreRows(const float* from, int64_t pitch, float scale, const float* factor, const WkvMutableRows& to) {
  const FloatV scales = Splat(scale);
  WithElementType(to.bf16, [&](auto type) HWY_ATTR {
    auto* row = static_cast<decltype(type)*>(to.data);
    for (int64_t i = 0; i < to.count; ++i, row += to.stride) {
      const float* source = from + i * pitch;
      ForEachVector(to.width, [&](size_t j, auto part) HWY_ATTR {
        FloatV x = hn::Mul(scales, Load(source + j, part));
        if (factor != nullptr) x = hn::Mul(x, Load(factor + i * pitch + j, part));
        Store(x, row + j, part);
      });
    }
  });
}

void Add(const float* terms, int64_t count, float* sums) {
  ForEachVector(count, [&](size_t i, auto part)
                           HWY_ATTR { Store(hn::Add(Load(sums + i, part), Load(terms + i, part)), sums + i, part); });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(LoadRows);
HWY_EXPORT(LoadRowsExp);
HWY_EXPORT(StoreRows);
HWY_EXPORT(Add);

void WkvLoadRows(const WkvRows& from, float scale, int64_t pitch, float* to) {
  HWY_DYNAMIC_DISPATCH(LoadRows)(from, scale, pitch, to);
}

void WkvLoadRowsExp(const WkvRows& from, int64_t pitch, float* to) {
  HWY_DYNAMIC_DISPATCH(LoadRowsExp)(from, pitch, to);
}

void WkvStoreRows(const float* from, int64_t pitch, float scale, const float* factor, const WkvMutableRows& to) {
  HWY_DYNAMIC_DISPATCH(StoreRows)(from, pitch, scale, factor, to);
}

void WkvAdd(const float* terms, int64_t count, float* sums) {
  HWY_DYNAMIC_DISPATCH(Add)(terms, count, sums);
}

}  // namespace radlads
#endif  // HWY_ONCE
