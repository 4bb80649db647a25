#include "kernels/head_norm_gate/head_norm_gate_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/head_norm_gate/head_norm_gate_cpu.cc"
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

// What turns o into the value before weight and bias: (o - mean) * factor. Without norm mean = 0, factor = scale.
struct HeadStatistics {
  float mean, factor;
};

template <class O>
HeadStatistics Statistics(const HeadNormGateArguments& p, const O* o) {
  if (p.weight == nullptr) return {0.0f, p.scale};
  const size_t size = p.head_dim;
  FloatV sum = Splat(0.0f);
  ForEachVector(size, [&](size_t i, auto part) HWY_ATTR { sum = hn::Add(sum, Load(o + i, part)); });
  const float mean = Sum(sum) / size;
  FloatV squares = Splat(0.0f);
  ForEachVector(size, [&](size_t i, auto part) HWY_ATTR {
    const auto centred = ZeroBeyond(hn::Sub(Load(o + i, part), Splat(mean)), part);
    squares = hn::MulAdd(centred, centred, squares);
  });
  return {mean, 1.0f / std::sqrt(Sum(squares) / size + p.eps)};
}

template <class O, class G, class Y>
void ForwardHead(const HeadNormGateArguments& p, int64_t at, int64_t channel, Y* y) {
  const O* o = static_cast<const O*>(p.o) + at;
  const HeadStatistics statistics = Statistics(p, o);
  const FloatV mean = Splat(statistics.mean), factor = Splat(statistics.factor);
  const G* gate = static_cast<const G*>(p.gate) + at;
  ForEachVector(p.head_dim, [&](size_t i, auto part) HWY_ATTR {
    auto z = hn::Mul(hn::Sub(Load(o + i, part), mean), factor);
    if (p.weight != nullptr) {
      z = hn::MulAdd(z, Load(p.weight + channel + i, part), Load(p.bias + channel + i, part));
    }
    if (p.gate != nullptr) {
      const auto g = Load(gate + i, part);
      z = hn::Mul(z, p.gate_sigmoid ? Sigmoid(g) : g);
    }
    Store(z, y + at + i, part);
  });
}

// `scratch` holds 2 * head_dim floats; d_weight and d_bias are sums over rows.
template <class O, class G, class Y>
void BackwardHead(const HeadNormGateArguments& p, const HeadNormGateGradients& g, int64_t at, int64_t channel,
                  float* scratch, float* d_weight, float* d_bias) {
  const bool norms = p.weight != nullptr;
  const size_t size = p.head_dim;
  const O* o = static_cast<const O*>(p.o) + at;
  O* d_o = static_cast<O*>(g.d_o) + at;
  const HeadStatistics statistics = Statistics(p, o);
  const FloatV mean = Splat(statistics.mean), factor = Splat(statistics.factor), one = Splat(1.0f);
  const G* gate = static_cast<const G*>(p.gate) + at;
  G* d_gate = static_cast<G*>(g.d_gate) + at;
  const Y* dy = static_cast<const Y*>(g.dy) + at;
  float *x = scratch, *dx = scratch + size;  // the normalised values and their gradient
  FloatV dx_sum = Splat(0.0f), dx_x_sum = Splat(0.0f);
  ForEachVector(size, [&](size_t i, auto part) HWY_ATTR {
    const auto normalised = ZeroBeyond(hn::Mul(hn::Sub(Load(o + i, part), mean), factor), part);
    auto z = normalised, dz = Load(dy + i, part);
    FloatV weight = one;
    if (norms) {
      weight = Load(p.weight + channel + i, part);
      z = hn::MulAdd(z, weight, Load(p.bias + channel + i, part));
    }
    if (p.gate != nullptr) {
      auto multiplier = Load(gate + i, part);
      auto d_multiplier = hn::Mul(dz, z);
      if (p.gate_sigmoid) {
        multiplier = Sigmoid(multiplier);
        d_multiplier = hn::Mul(d_multiplier, hn::Mul(multiplier, hn::Sub(one, multiplier)));
      }
      Store(d_multiplier, d_gate + i, part);
      dz = hn::Mul(dz, multiplier);
    }
    if (!norms) {
      Store(hn::Mul(dz, factor), d_o + i, part);
      return;
    }
    Accumulate(hn::Mul(dz, normalised), d_weight + channel + i, part);
    Accumulate(dz, d_bias + channel + i, part);
    const auto d_normalised = hn::Mul(dz, weight);
    dx_sum = hn::Add(dx_sum, d_normalised);
    dx_x_sum = hn::MulAdd(d_normalised, normalised, dx_x_sum);
    Store(normalised, x + i, part);
    Store(d_normalised, dx + i, part);
  });
  if (!norms) return;
  const FloatV dx_mean = Splat(Sum(dx_sum) / size), dx_x_mean = Splat(Sum(dx_x_sum) / size);
  ForEachVector(size, [&](size_t i, auto part) HWY_ATTR {
    const auto centred = hn::NegMulAdd(Load(x + i, part), dx_x_mean, hn::Sub(Load(dx + i, part), dx_mean));
    Store(hn::Mul(centred, factor), d_o + i, part);
  });
}

// Calls f with an element of o's type, the gate's and y's.
template <class F>
void WithElementTypes(const HeadNormGateArguments& p, const F& f) {
  WithElementType(p.o_bf16, [&](auto o_type) HWY_ATTR {
    WithElementType(p.gate_bf16, [&](auto gate_type) HWY_ATTR {
      WithElementType(p.out_bf16, [&](auto out_type) HWY_ATTR { f(o_type, gate_type, out_type); });
    });
  });
}

void ForwardRows(const HeadNormGateArguments& p, void* y, int64_t first, int64_t last) {
  WithElementTypes(p, [&](auto o_type, auto gate_type, auto out_type) HWY_ATTR {
    using Y = decltype(out_type);
    for (int64_t head = first * p.heads; head < last * p.heads; ++head) {
      ForwardHead<decltype(o_type), decltype(gate_type), Y>(p, head * p.head_dim, head % p.heads * p.head_dim,
                                                            static_cast<Y*>(y));
    }
  });
}

void BackwardRows(const HeadNormGateArguments& p, const HeadNormGateGradients& g, int64_t first, int64_t last,
                  float* d_weight, float* d_bias) {
  std::vector<float> scratch(2 * p.head_dim);
  WithElementTypes(p, [&](auto o_type, auto gate_type, auto out_type) HWY_ATTR {
    for (int64_t head = first * p.heads; head < last * p.heads; ++head) {
      BackwardHead<decltype(o_type), decltype(gate_type), decltype(out_type)>(
          p, g, head * p.head_dim, head % p.heads * p.head_dim, scratch.data(), d_weight, d_bias);
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

void HeadNormGateForwardCpu(const HeadNormGateArguments& arguments, void* y) {
  ParallelFor(arguments.rows, 8, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, y, first, last);
  });
}

void HeadNormGateBackwardCpu(const HeadNormGateArguments& arguments, const HeadNormGateGradients& gradients) {
  const int64_t rows = arguments.rows, width = arguments.heads * arguments.head_dim;
  // Blocks depend on the number of rows only, so that the sums do not depend on the number of threads.
  const int64_t blocks = std::min<int64_t>(rows, 64);
  std::vector<float> sums(arguments.weight == nullptr ? 0 : blocks * 2 * width, 0.0f);
  ParallelForDynamic(blocks, [&](int64_t block) {
    float* d_weight = sums.data() + block * 2 * width;
    HWY_DYNAMIC_DISPATCH(BackwardRows)
    (arguments, gradients, rows * block / blocks, rows * (block + 1) / blocks, d_weight, d_weight + width);
  });
  if (arguments.weight == nullptr) return;
  std::fill(gradients.d_weight, gradients.d_weight + width, 0.0f);
  std::fill(gradients.d_bias, gradients.d_bias + width, 0.0f);
  for (int64_t block = 0; block < blocks; ++block) {
    const float* part = sums.data() + block * 2 * width;
    for (int64_t c = 0; c < width; ++c) gradients.d_weight[c] += part[c];
    for (int64_t c = 0; c < width; ++c) gradients.d_bias[c] += part[width + c];
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
