#include "kernels/rms_norm/rms_norm_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm/rms_norm_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

// 1 / sqrt(mean(x^2) + eps)
template <class X>
float InverseRms(const X* x, size_t width, float eps) {
  FloatV squares = Splat(0.0f);
  ForEachVector(width, [&](size_t i, auto part) HWY_ATTR {
    const auto v = Load(x + i, part);
    squares = hn::MulAdd(v, v, squares);
  });
  return 1.0f / std::sqrt(Sum(squares) / width + eps);
}

template <class X, class Y>
void ForwardRow(const RmsNormArguments& p, int64_t row, void* y) {
  const X* x = static_cast<const X*>(p.x) + row * p.width;
  Y* out = static_cast<Y*>(y) + row * p.width;
  const FloatV factor = Splat(InverseRms(x, p.width, p.eps));
  ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
    const auto normalised = RoundAs(hn::Mul(Load(x + i, part), factor), Y());
    Store(hn::Mul(normalised, Load(p.weight + i, part)), out + i, part);
  });
}

// d_weight is a sum over rows.
template <class X, class Y>
void BackwardRow(const RmsNormArguments& p, int64_t row, const void* dy, void* dx, float* d_weight) {
  const X* x = static_cast<const X*>(p.x) + row * p.width;
  const Y* d_out = static_cast<const Y*>(dy) + row * p.width;
  X* d_x = static_cast<X*>(dx) + row * p.width;
  const FloatV factor = Splat(InverseRms(x, p.width, p.eps));
  FloatV along = Splat(0.0f);
  ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
    const auto normalised = hn::Mul(Load(x + i, part), factor), g = Load(d_out + i, part);
    Accumulate(hn::Mul(g, RoundAs(normalised, Y())), d_weight + i, part);
    along = hn::MulAdd(hn::Mul(g, Load(p.weight + i, part)), normalised, along);
  });
  const FloatV mean = Splat(Sum(along) / p.width);
  ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
    const auto normalised = hn::Mul(Load(x + i, part), factor);
    const auto d_normalised = hn::Mul(Load(d_out + i, part), Load(p.weight + i, part));
    Store(hn::Mul(hn::NegMulAdd(normalised, mean, d_normalised), factor), d_x + i, part);
  });
}

void ForwardRows(const RmsNormArguments& p, void* y, int64_t first, int64_t last) {
  WithElementType(p.x_bf16, [&](auto x_type) HWY_ATTR {
    WithElementType(p.y_bf16, [&](auto y_type) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) ForwardRow<decltype(x_type), decltype(y_type)>(p, row, y);
    });
  });
}

void BackwardRows(const RmsNormArguments& p, const void* dy, void* dx, int64_t first, int64_t last, float* d_weight) {
  WithElementType(p.x_bf16, [&](auto x_type) HWY_ATTR {
    WithElementType(p.y_bf16, [&](auto y_type) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) {
        BackwardRow<decltype(x_type), decltype(y_type)>(p, row, dy, dx, d_weight);
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

void RmsNormForwardCpu(const RmsNormArguments& arguments, void* y) {
  ParallelFor(arguments.rows, 1 + 8192 / (arguments.width + 1), [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, y, first, last);
  });
}

void RmsNormBackwardCpu(const RmsNormArguments& arguments, const void* dy, void* dx, float* d_weight) {
  const int64_t rows = arguments.rows, width = arguments.width;
  // Blocks depend on the number of rows only, so that the sums do not depend on the number of threads.
  const int64_t blocks = std::min<int64_t>(rows, 64);
  std::vector<float> sums(blocks * width, 0.0f);
  ParallelForDynamic(blocks, [&](int64_t block) {
    HWY_DYNAMIC_DISPATCH(BackwardRows)
    (arguments, dy, dx, rows * block / blocks, rows * (block + 1) / blocks, sums.data() + block * width);
  });
  std::fill(d_weight, d_weight + width, 0.0f);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t c = 0; c < width; ++c) d_weight[c] += sums[block * width + c];
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
