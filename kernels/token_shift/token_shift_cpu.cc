#include "kernels/token_shift/token_shift_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/token_shift/token_shift_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

// Rows are tokens of all sequences, [batch * time].
bool IsReset(const TokenShiftArguments& p, int64_t row) {
  return p.reset != nullptr && p.reset[row];
}

// Calls body(before), where before(i, part) loads the token before `row`.
template <class X, class F>
HWY_INLINE void WithTokenBefore(const TokenShiftArguments& p, int64_t row, const F& body) {
  const int64_t sequence = row / p.time;
  const bool first = row == sequence * p.time;
  if (IsReset(p, row) || (first && p.previous == nullptr)) {
    body([](size_t, auto) HWY_ATTR { return Splat(0.0f); });
  } else if (first) {
    const float* from = p.previous + sequence * p.width;
    body([from](size_t i, auto part) HWY_ATTR { return Load(from + i, part); });
  } else {
    const X* from = static_cast<const X*>(p.x) + (row - 1) * p.width;
    body([from](size_t i, auto part) HWY_ATTR { return Load(from + i, part); });
  }
}

// maa[mix] + amounts[mix, row], at offset i.
template <class X, class S>
HWY_INLINE FloatV Amount(const TokenShiftArguments& p, int64_t mix, int64_t row, size_t i, S part) {
  const auto maa = Load(p.maa + mix * p.width + i, part);
  if (p.amounts == nullptr) return maa;
  return hn::Add(maa, Load(static_cast<const X*>(p.amounts) + (mix * p.batch * p.time + row) * p.width + i, part));
}

template <class X>
void ForwardRow(const TokenShiftArguments& p, void* const* y, int64_t row) {
  const X* x = static_cast<const X*>(p.x) + row * p.width;
  WithTokenBefore<X>(p, row, [&](auto before) HWY_ATTR {
    ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
      const auto now = Load(x + i, part), delta = hn::Sub(before(i, part), now);
      for (int64_t mix = 0; mix < p.mixes; ++mix) {
        X* out = static_cast<X*>(y[mix]) + row * p.width + i;
        Store(hn::MulAdd(delta, Amount<X>(p, mix, row, i, part), now), out, part);
      }
    });
  });
}

// The gradient of `row` that reaches the token before it, into d_before [width]: 0 across a reset.
template <class X>
void TokenBeforeGradient(const TokenShiftArguments& p, const void* const* dy, int64_t row, float* d_before) {
  ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
    FloatV d_delta = Splat(0.0f);
    for (int64_t mix = 0; mix < p.mixes && !IsReset(p, row); ++mix) {
      if (dy[mix] == nullptr) continue;
      const auto g = Load(static_cast<const X*>(dy[mix]) + row * p.width + i, part);
      d_delta = hn::MulAdd(g, Amount<X>(p, mix, row, i, part), d_delta);
    }
    Store(d_delta, d_before + i, part);
  });
}

// carry [width]: in, what the token after this one sends back; out, what this one sends back. d_maa is a sum over rows.
template <class X>
void BackwardRow(const TokenShiftArguments& p, const TokenShiftGradients& d, int64_t row, float* carry, float* d_maa) {
  const X* x = static_cast<const X*>(p.x) + row * p.width;
  X* dx = static_cast<X*>(d.dx) + row * p.width;
  const bool reset = IsReset(p, row);
  WithTokenBefore<X>(p, row, [&](auto before) HWY_ATTR {
    ForEachVector(p.width, [&](size_t i, auto part) HWY_ATTR {
      const auto delta = hn::Sub(before(i, part), Load(x + i, part));
      FloatV d_now = Load(carry + i, part), d_delta = Splat(0.0f);
      for (int64_t mix = 0; mix < p.mixes; ++mix) {
        FloatV g = Splat(0.0f);
        if (d.dy[mix] != nullptr) {
          g = Load(static_cast<const X*>(d.dy[mix]) + row * p.width + i, part);
          d_now = hn::Add(d_now, g);
          d_delta = hn::MulAdd(g, Amount<X>(p, mix, row, i, part), d_delta);
          Accumulate(hn::Mul(g, delta), d_maa + mix * p.width + i, part);
        }
        if (d.d_amounts == nullptr) continue;
        X* d_amount = static_cast<X*>(d.d_amounts) + (mix * p.batch * p.time + row) * p.width + i;
        Store(hn::Mul(g, delta), d_amount, part);
      }
      Store(hn::Sub(d_now, d_delta), dx + i, part);
      Store(reset ? Splat(0.0f) : d_delta, carry + i, part);
    });
  });
}

void ForwardRows(const TokenShiftArguments& p, void* const* y, int64_t first, int64_t last) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR {
    for (int64_t row = first; row < last; ++row) ForwardRow<decltype(type)>(p, y, row);
  });
}

// Backward through the rows, so that each finds in `carry` [width] what the one after it sends back.
void BackwardRows(const TokenShiftArguments& p, const TokenShiftGradients& d, int64_t first, int64_t last, float* carry,
                  float* d_maa) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR {
    using X = decltype(type);
    if (last < p.batch * p.time) TokenBeforeGradient<X>(p, d.dy, last, carry);
    for (int64_t row = last - 1; row >= first; --row) {
      if ((row + 1) % p.time == 0) std::fill(carry, carry + p.width, 0.0f);
      BackwardRow<X>(p, d, row, carry, d_maa);
      if (row % p.time == 0 && d.d_previous != nullptr) {
        std::copy(carry, carry + p.width, d.d_previous + row / p.time * p.width);
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRows);
HWY_EXPORT(BackwardRows);

void TokenShiftForwardCpu(const TokenShiftArguments& arguments, void* const* y) {
  const int64_t grain = 1 + 8192 / (arguments.width * arguments.mixes + 1);
  ParallelFor(arguments.batch * arguments.time, grain, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, y, first, last);
  });
}

void TokenShiftBackwardCpu(const TokenShiftArguments& arguments, const TokenShiftGradients& gradients) {
  const int64_t rows = arguments.batch * arguments.time, sums = arguments.mixes * arguments.width;
  // Blocks depend on the number of rows only, so that the sums do not depend on the number of threads.
  const int64_t blocks = std::min<int64_t>(rows, 64), scratch = sums + arguments.width;
  std::vector<float> block_sums(blocks * scratch, 0.0f);
  ParallelForDynamic(blocks, [&](int64_t block) {
    float* d_maa_of_block = block_sums.data() + block * scratch;
    HWY_DYNAMIC_DISPATCH(BackwardRows)
    (arguments, gradients, rows * block / blocks, rows * (block + 1) / blocks, d_maa_of_block + sums, d_maa_of_block);
  });
  std::fill(gradients.d_maa, gradients.d_maa + sums, 0.0f);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t c = 0; c < sums; ++c) gradients.d_maa[c] += block_sums[block * scratch + c];
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
