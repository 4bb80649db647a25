#include "kernels/rwkv7_prepare/rwkv7_prepare_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rwkv7_prepare/rwkv7_prepare_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/rope/rotation-inl.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

constexpr float kDecayScale = 0.60653065971263342f;  // e^-0.5
constexpr float kNormFloor = 1e-12f;

// 1 / max(||x||, floor) for x = k, or k * k_k; `floored` says whether the floor was taken.
float InverseNorm(const float* k, const float* k_k, size_t head_dim, bool* floored) {
  FloatV squares = Splat(0.0f);
  ForEachVector(head_dim, [&](size_t i, auto size) HWY_ATTR {
    auto x = Load(k + i, size);
    if (k_k != nullptr) x = hn::Mul(x, Load(k_k + i, size));
    squares = hn::MulAdd(x, x, squares);
  });
  const float norm = std::sqrt(Sum(squares));
  *floored = norm < kNormFloor;
  return 1.0f / (*floored ? kNormFloor : norm);
}

template <class T, class R>
void ForwardRow(const Rwkv7PrepareArguments& p, const Rwkv7PrepareResults& y, int64_t row, float* k) {
  const int64_t D = p.head_dim, group = p.heads / p.kv_heads, width = p.heads * D;
  const int64_t position = p.tables_per_batch ? row : row % p.time;
  const float* cos = p.cos == nullptr ? nullptr : p.cos + position * D;
  const float* sin = p.cos == nullptr ? nullptr : p.sin + position * D;
  const float* k_k = p.balance_state ? nullptr : p.k_k;
  for (int64_t kv = 0; kv < p.kv_heads; ++kv) {
    Rotate(static_cast<const T*>(p.k) + (row * p.kv_heads + kv) * D, cos, sin, D, k);
    const T* v = static_cast<const T*>(p.v) + (row * p.kv_heads + kv) * D;
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      const int64_t channel = h * D, at = row * width + channel;
      const T* q = static_cast<const T*>(p.q) + at;
      const T* w = static_cast<const T*>(p.w) + at;
      const T* a = static_cast<const T*>(p.a) + at;
      Rotate(q, cos, sin, D, static_cast<R*>(y.r) + at);
      R *key_out = static_cast<R*>(y.k) + at, *a_out = static_cast<R*>(y.a) + at, *b_out = static_cast<R*>(y.b) + at;
      bool floored;
      const FloatV inverse = Splat(InverseNorm(k, k_k == nullptr ? nullptr : k_k + channel, D, &floored));
      const FloatV one = Splat(1.0f);
      ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
        const size_t c = channel + i;
        const auto log_w = hn::Mul(Splat(-kDecayScale), Sigmoid(hn::Add(Load(w + i, size), Load(p.w0 + c, size))));
        const auto iclr = Sigmoid(hn::Add(Load(a + i, size), Load(p.a0 + c, size)));
        const auto key = Load(k + i, size);
        FloatV kk, factor;
        if (k_k == nullptr) {
          kk = hn::Mul(key, inverse);
          factor = hn::Add(hn::Sub(one, Exp(log_w)), iclr);
        } else {
          kk = hn::Mul(hn::Mul(key, Load(k_k + c, size)), inverse);
          factor = hn::MulAdd(hn::Sub(iclr, one), Load(p.k_a + c, size), one);
        }
        Store(log_w, y.log_w + at + i, size);
        Store(hn::Mul(key, factor), key_out + i, size);
        Store(hn::Neg(kk), a_out + i, size);
        Store(hn::Mul(kk, iclr), b_out + i, size);
      });
      const T* v_mix = static_cast<const T*>(p.v_mix) + at;
      const R* v_first = static_cast<const R*>(p.v_first) + at;
      R* v_out = static_cast<R*>(y.v) + at;
      ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
        auto value = Load(v + i, size);
        if (p.v_mix != nullptr) {
          const auto mix = Sigmoid(hn::Add(Load(v_mix + i, size), Load(p.v0 + channel + i, size)));
          value = hn::MulAdd(hn::Sub(Load(v_first + i, size), value), mix, value);
        }
        Store(value, v_out + i, size);
      });
    }
  }
}

// Sums over rows of the parameters' gradients, [A] each.
struct ParameterSums {
  float *w0, *a0, *v0, *k_k, *k_a;
};

// `scratch` holds 6 * D floats.
template <class T, class R>
void BackwardRow(const Rwkv7PrepareArguments& p, const Rwkv7PrepareGradients& g, int64_t row, float* scratch,
                 const ParameterSums& sums) {
  const int64_t D = p.head_dim, group = p.heads / p.kv_heads, width = p.heads * D;
  const int64_t position = p.tables_per_batch ? row : row % p.time;
  const float* cos = p.cos == nullptr ? nullptr : p.cos + position * D;
  const float* sin = p.cos == nullptr ? nullptr : p.sin + position * D;
  const bool balance = p.balance_state, mixes = p.v_mix != nullptr;
  float *k = scratch, *dk = scratch + D, *dv = scratch + 2 * D, *saved_iclr = scratch + 3 * D;
  float *saved_kk = scratch + 4 * D, *saved_dkk = scratch + 5 * D;
  const FloatV one = Splat(1.0f);
  for (int64_t kv = 0; kv < p.kv_heads; ++kv) {
    const int64_t kv_at = (row * p.kv_heads + kv) * D;
    Rotate(static_cast<const T*>(p.k) + kv_at, cos, sin, D, k);
    const T* v = static_cast<const T*>(p.v) + kv_at;
    std::fill(dk, dk + 2 * D, 0.0f);
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      const int64_t channel = h * D, at = row * width + channel;
      RotateBack(static_cast<const R*>(g.r) + at, cos, sin, D, static_cast<T*>(g.dq) + at);
      const R *k_gradient = static_cast<const R*>(g.k) + at, *v_gradient = static_cast<const R*>(g.v) + at;
      const R *a_gradient = static_cast<const R*>(g.a) + at, *b_gradient = static_cast<const R*>(g.b) + at;
      const T* w = static_cast<const T*>(p.w) + at;
      const T* a = static_cast<const T*>(p.a) + at;
      const float* k_k = balance ? nullptr : p.k_k + channel;
      bool floored;
      const FloatV inverse = Splat(InverseNorm(k, k_k, D, &floored));
      // d kk, and its component along kk that the normalisation removes.
      FloatV along = Splat(0.0f);
      ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
        const auto iclr = Sigmoid(hn::Add(Load(a + i, size), Load(p.a0 + channel + i, size)));
        auto kk = hn::Mul(Load(k + i, size), inverse);
        if (k_k != nullptr) kk = hn::Mul(kk, Load(k_k + i, size));
        const auto dkk = hn::MulSub(Load(b_gradient + i, size), iclr, Load(a_gradient + i, size));
        along = hn::MulAdd(kk, dkk, along);
        Store(iclr, saved_iclr + i, size);
        Store(kk, saved_kk + i, size);
        Store(dkk, saved_dkk + i, size);
      });
      const FloatV removed = Splat(floored ? 0.0f : Sum(along));
      T* dw = static_cast<T*>(g.dw) + at;
      T* da = static_cast<T*>(g.da) + at;
      ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
        const size_t c = channel + i;
        const auto decay = Sigmoid(hn::Add(Load(w + i, size), Load(p.w0 + c, size)));
        const auto log_w = hn::Mul(Splat(-kDecayScale), decay);
        const auto iclr = Load(saved_iclr + i, size), kk = Load(saved_kk + i, size), key = Load(k + i, size);
        const auto gk = Load(k_gradient + i, size);
        const auto du = hn::Mul(hn::NegMulAdd(kk, removed, Load(saved_dkk + i, size)), inverse);
        auto diclr = hn::Mul(Load(b_gradient + i, size), kk);
        auto dlog_w = Load(g.log_w + at + i, size);
        const auto gk_key = hn::Mul(gk, key);
        FloatV dkey;
        if (balance) {
          const auto exp_log_w = Exp(log_w);
          dkey = hn::MulAdd(gk, hn::Add(hn::Sub(one, exp_log_w), iclr), du);
          diclr = hn::Add(diclr, gk_key);
          dlog_w = hn::NegMulAdd(gk_key, exp_log_w, dlog_w);
        } else {
          const auto k_a = Load(p.k_a + c, size), lowered = hn::Sub(iclr, one);
          dkey = hn::MulAdd(gk, hn::MulAdd(lowered, k_a, one), hn::Mul(du, Load(k_k + i, size)));
          diclr = hn::MulAdd(gk_key, k_a, diclr);
          Accumulate(hn::Mul(gk_key, lowered), sums.k_a + c, size);
          Accumulate(hn::Mul(du, key), sums.k_k + c, size);
        }
        Accumulate(dkey, dk + i, size);
        const auto da_logit = hn::Mul(diclr, hn::Mul(iclr, hn::Sub(one, iclr)));
        Store(da_logit, da + i, size);
        Accumulate(da_logit, sums.a0 + c, size);
        const auto dw_logit = hn::Mul(dlog_w, hn::Mul(log_w, hn::Sub(one, decay)));
        Store(dw_logit, dw + i, size);
        Accumulate(dw_logit, sums.w0 + c, size);
      });
      const T* v_mix = static_cast<const T*>(p.v_mix) + at;
      T* dv_mix = static_cast<T*>(g.dv_mix) + at;
      const R* v_first = static_cast<const R*>(p.v_first) + at;
      R* dv_first = static_cast<R*>(g.dv_first) + at;
      ForEachVector(D, [&](size_t i, auto size) HWY_ATTR {
        const auto gv = Load(v_gradient + i, size);
        if (!mixes) {
          Accumulate(gv, dv + i, size);
          return;
        }
        const auto mix = Sigmoid(hn::Add(Load(v_mix + i, size), Load(p.v0 + channel + i, size)));
        const auto first = hn::Mul(gv, mix);
        Store(first, dv_first + i, size);
        Accumulate(hn::Sub(gv, first), dv + i, size);
        const auto difference = hn::Sub(Load(v_first + i, size), Load(v + i, size));
        const auto mix_gradient = hn::Mul(hn::Mul(first, hn::Sub(one, mix)), difference);
        Store(mix_gradient, dv_mix + i, size);
        Accumulate(mix_gradient, sums.v0 + channel + i, size);
      });
    }
    RotateBack(dk, cos, sin, D, static_cast<T*>(g.dk) + kv_at);
    RotateBack(dv, nullptr, nullptr, D, static_cast<T*>(g.dv) + kv_at);
  }
}

void ForwardRows(const Rwkv7PrepareArguments& p, const Rwkv7PrepareResults& y, int64_t first, int64_t last) {
  std::vector<float> scratch(p.head_dim);
  WithElementType(p.bf16, [&](auto logit) HWY_ATTR {
    WithElementType(p.results_bf16, [&](auto result) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) {
        ForwardRow<decltype(logit), decltype(result)>(p, y, row, scratch.data());
      }
    });
  });
}

void BackwardRows(const Rwkv7PrepareArguments& p, const Rwkv7PrepareGradients& g, int64_t first, int64_t last,
                  float* sums) {
  const int64_t width = p.heads * p.head_dim;
  const ParameterSums split = {sums, sums + width, sums + 2 * width, sums + 3 * width, sums + 4 * width};
  std::vector<float> scratch(6 * p.head_dim);
  WithElementType(p.bf16, [&](auto logit) HWY_ATTR {
    WithElementType(p.results_bf16, [&](auto result) HWY_ATTR {
      for (int64_t row = first; row < last; ++row) {
        BackwardRow<decltype(logit), decltype(result)>(p, g, row, scratch.data(), split);
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

void Rwkv7PrepareForwardCpu(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareResults& results) {
  ParallelFor(arguments.batch * arguments.time, 8, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(arguments, results, first, last);
  });
}

void Rwkv7PrepareBackwardCpu(const Rwkv7PrepareArguments& arguments, const Rwkv7PrepareGradients& gradients) {
  const int64_t rows = arguments.batch * arguments.time, width = arguments.heads * arguments.head_dim;
  // Blocks depend on the number of rows only, so that the sums do not depend on the number of threads.
  const int64_t blocks = std::min<int64_t>(rows, 64);
  std::vector<float> sums(blocks * 5 * width, 0.0f);
  ParallelForDynamic(blocks, [&](int64_t block) {
    HWY_DYNAMIC_DISPATCH(BackwardRows)
    (arguments, gradients, rows * block / blocks, rows * (block + 1) / blocks, sums.data() + block * 5 * width);
  });
  float* const totals[] = {gradients.dw0, gradients.da0, gradients.dv0, gradients.dk_k, gradients.dk_a};
  for (int64_t parameter = 0; parameter < 5; ++parameter) {
    float* total = totals[parameter];
    std::fill(total, total + width, 0.0f);
    for (int64_t block = 0; block < blocks; ++block) {
      const float* part = sums.data() + (block * 5 + parameter) * width;
      for (int64_t c = 0; c < width; ++c) total[c] += part[c];
    }
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
