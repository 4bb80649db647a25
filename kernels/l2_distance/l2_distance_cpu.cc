#include "kernels/l2_distance/l2_distance_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/l2_distance/l2_distance_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <cmath>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

void ForwardRows(const L2DistanceArguments& p, float* norms, int64_t first, int64_t last) {
  WithElementType(p.target_bf16, [&](auto target_type) HWY_ATTR {
    WithElementType(p.x_bf16, [&](auto x_type) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) {
        const auto* target = static_cast<const decltype(target_type)*>(p.target) + row * p.width;
        const auto* x = static_cast<const decltype(x_type)*>(p.x) + row * p.width;
        FloatV squares = Splat(0.0f);
        ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
          const auto difference = hn::Sub(Load(target + i, part), Load(x + i, part));
          squares = hn::MulAdd(difference, difference, squares);
        });
        norms[row] = std::sqrt(Sum(squares));
      }
    });
  });
}

void BackwardRows(const L2DistanceArguments& p, const float* norms, float scale, void* dx, int64_t first,
                  int64_t last) {
  WithElementType(p.target_bf16, [&](auto target_type) HWY_ATTR {
    WithElementType(p.x_bf16, [&](auto x_type) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) {
        const auto* target = static_cast<const decltype(target_type)*>(p.target) + row * p.width;
        const auto* x = static_cast<const decltype(x_type)*>(p.x) + row * p.width;
        auto* d_x = static_cast<decltype(x_type)*>(dx) + row * p.width;
        const FloatV factor = Splat(norms[row] == 0 ? 0.0f : scale / norms[row]);
        ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
          Store(hn::Mul(hn::Sub(Load(x + i, part), Load(target + i, part)), factor), d_x + i, part);
        });
      }
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRows);
HWY_EXPORT(BackwardRows);

void L2DistanceForwardCpu(const L2DistanceArguments& arguments, double scale, float* norms, float* loss) {
  ParallelFor(arguments.rows, 16, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, norms, first, last);
  });
  double sum = 0;
  for (int64_t row = 0; row < arguments.rows; ++row) sum += norms[row];
  *loss = static_cast<float>(sum * scale);
}

void L2DistanceBackwardCpu(const L2DistanceArguments& arguments, const float* norms, double scale, const float* d_loss,
                           void* dx) {
  const float factor = static_cast<float>(*d_loss * scale);
  ParallelFor(arguments.rows, 16, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(BackwardRows)(arguments, norms, factor, dx, first, last);
  });
}

}  // namespace radlads
#endif  // HWY_ONCE
