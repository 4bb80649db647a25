#include "kernels/rope/rope_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope/rope_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include "base/parallel_for.h"
#include "kernels/rope/rotation-inl.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

void Rows(const RopeArguments& p, bool back, const void* from, void* to, int64_t first, int64_t last) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR {
    using T = decltype(type);
    for (int64_t row = first; row < last; ++row) {
      const int64_t table = (p.tables_per_batch ? row : row % p.time) * p.head_dim;
      for (int64_t at = row * p.heads * p.head_dim; at < (row + 1) * p.heads * p.head_dim; at += p.head_dim) {
        const T* x = static_cast<const T*>(from) + at;
        T* y = static_cast<T*>(to) + at;
        if (back) {
          RotateBack(x, p.cos + table, p.sin + table, p.head_dim, y);
        } else {
          Rotate(x, p.cos + table, p.sin + table, p.head_dim, y);
        }
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(Rows);

void RopeForwardCpu(const RopeArguments& arguments, const void* x, void* y) {
  ParallelFor(arguments.batch * arguments.time, 16, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(Rows)(arguments, false, x, y, first, last);
  });
}

void RopeBackwardCpu(const RopeArguments& arguments, const void* dy, void* dx) {
  ParallelFor(arguments.batch * arguments.time, 16, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(Rows)(arguments, true, dy, dx, first, last);
  });
}

}  // namespace radlads
#endif  // HWY_ONCE
