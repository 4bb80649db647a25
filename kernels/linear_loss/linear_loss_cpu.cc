#include "kernels/linear_loss/linear_loss_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/linear_loss/linear_loss_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

// fp32 lanes add up this many logits before they are added to a double.
constexpr size_t kBlock = 2048;

// Softmax of a row: probability(z) = exp(z - max) * inverse; log_sum = log(sum exp(z - max)).
struct RowSoftmax {
  float max, inverse;
  double log_sum;
};

template <class T>
RowSoftmax Reduce(const T* z, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  FloatV top = Splat(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) top = hn::Max(top, Load(z + i, Whole()));
  RowSoftmax row;
  row.max = hn::GetLane(hn::MaxOfLanes(d, top));
  // Lanes of a part beyond its end would read as 0, so the tail goes one by one.
  for (; i < count; ++i) row.max = std::max(row.max, Sum(Load(z + i, Part{1})));
  const FloatV max = Splat(row.max);
  double sum = 0;
  for (size_t first = 0; first < count; first += kBlock) {
    const size_t size = std::min(kBlock, count - first);
    FloatV block = Splat(0.0f);
    float rest = 0;
    ForEachVector(size - size % lanes, [&](size_t j, auto whole) HWY_ATTR {
      block = hn::Add(block, Exp(hn::Sub(Load(z + first + j, whole), max)));
    });
    for (size_t j = size - size % lanes; j < size; ++j) {
      rest += hn::GetLane(Exp(hn::Sub(Load(z + first + j, Part{1}), max)));
    }
    sum += static_cast<double>(Sum(block)) + rest;
  }
  row.inverse = static_cast<float>(1.0 / sum);
  row.log_sum = std::log(sum);
  return row;
}

template <class S, class T>
void LossRow(const LogitChunk& chunk, int64_t index, double* kl, double* ce) {
  S* student = static_cast<S*>(chunk.student) + index * chunk.vocabulary;
  const T* teacher =
      chunk.teacher == nullptr ? nullptr : static_cast<const T*>(chunk.teacher) + index * chunk.vocabulary;
  const size_t vocabulary = chunk.vocabulary;
  const RowSoftmax s = Reduce(student, vocabulary);
  const int64_t label = chunk.labels == nullptr ? -1 : chunk.labels[index];
  const bool scored = label >= 0;
  const float at_label = scored ? Sum(Load(student + label, Part{1})) : 0;
  if (ce != nullptr) ce[index] = scored ? s.log_sum - (static_cast<double>(at_label) - s.max) : 0;
  if (teacher == nullptr && !chunk.differentiate) return;

  const float kl_scale = static_cast<float>(chunk.kl_scale);
  const float ce_scale = scored ? static_cast<float>(chunk.ce_scale) : 0.0f;
  // At the label the derivative is put in afterwards, from full precision rather than from a stored value.
  float at_label_gradient = 0;
  if (scored) {
    at_label_gradient = static_cast<float>(std::expm1(static_cast<double>(at_label) - s.max - s.log_sum)) * ce_scale;
  }
  if (teacher == nullptr) {
    const FloatV max = Splat(s.max), scale = Splat(s.inverse * ce_scale);
    ForEachVector(vocabulary, [&](size_t i, auto size) HWY_ATTR {
      Store(hn::Mul(Exp(hn::Sub(Load(student + i, size), max)), scale), student + i, size);
    });
  } else {
    const RowSoftmax t = Reduce(teacher, vocabulary);
    const FloatV s_max = Splat(s.max), t_max = Splat(t.max);
    const FloatV s_inverse = Splat(s.inverse), t_inverse = Splat(t.inverse);
    // log p_t - log p_s = ((t - max t) - (s - max s)) - (log sum_t - log sum_s): differences of what is near,
    // so that large logits cost no accuracy and equal rows give exactly 0.
    const FloatV log_ratio = Splat(static_cast<float>(t.log_sum - s.log_sum));
    const FloatV kl_factor = Splat(kl_scale), ce_factor = Splat(ce_scale);
    if (scored) {
      const float t_at_label = Sum(Load(teacher + label, Part{1}));
      const double p_s = std::exp(static_cast<double>(at_label) - s.max - s.log_sum);
      const double p_t = std::exp(static_cast<double>(t_at_label) - t.max - t.log_sum);
      at_label_gradient += static_cast<float>(p_s - p_t) * kl_scale;
    }
    double total = 0;
    for (size_t first = 0; first < vocabulary; first += kBlock) {
      FloatV block = Splat(0.0f);
      ForEachVector(std::min(kBlock, vocabulary - first), [&](size_t j, auto size) HWY_ATTR {
        const size_t i = first + j;
        const auto s_shifted = hn::Sub(Load(student + i, size), s_max);
        const auto t_shifted = hn::Sub(Load(teacher + i, size), t_max);
        const auto p_t = hn::Mul(Exp(t_shifted), t_inverse);
        const auto term = hn::Mul(p_t, hn::Sub(hn::Sub(t_shifted, s_shifted), log_ratio));
        if constexpr (std::is_same_v<decltype(size), Part>) {
          HWY_ALIGN float terms[hn::MaxLanes(Floats())];
          Store(term, terms, Whole());
          for (size_t lane = 0; lane < size.count; ++lane) total += terms[lane];
        } else {
          block = hn::Add(block, term);
        }
        if (chunk.differentiate) {
          const auto p_s = hn::Mul(Exp(s_shifted), s_inverse);
          // The difference first: exactly 0 where the probabilities are equal.
          Store(hn::MulAdd(hn::Sub(p_s, p_t), kl_factor, hn::Mul(p_s, ce_factor)), student + i, size);
        }
      });
      total += Sum(block);
    }
    if (kl != nullptr) kl[index] = total;
  }
  if (chunk.differentiate && ce_scale != 0) Store(Splat(at_label_gradient), student + label, Part{1});
}

void LossRows(const LogitChunk& chunk, int64_t first, int64_t last, double* kl, double* ce) {
  for (int64_t row = first; row < last; ++row) {
    if (chunk.student_bf16) {
      if (chunk.teacher_bf16) {
        LossRow<hwy::bfloat16_t, hwy::bfloat16_t>(chunk, row, kl, ce);
      } else {
        LossRow<hwy::bfloat16_t, float>(chunk, row, kl, ce);
      }
    } else if (chunk.teacher_bf16) {
      LossRow<float, hwy::bfloat16_t>(chunk, row, kl, ce);
    } else {
      LossRow<float, float>(chunk, row, kl, ce);
    }
  }
}

void AddRange(const hwy::bfloat16_t* part, float* sum, int64_t first, int64_t last) {
  ForEachVector(last - first,
                [&](size_t i, auto size) HWY_ATTR { Accumulate(Load(part + first + i, size), sum + first + i, size); });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(LossRows);
HWY_EXPORT(AddRange);

void LossRowsCpu(const LogitChunk& chunk, double* kl, double* ce) {
  ParallelFor(chunk.rows, 1, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(LossRows)(chunk, first, last, kl, ce);
  });
}

void AddBf16Cpu(const void* part, float* sum, int64_t count) {
  ParallelFor(count, 1 << 15, [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(AddRange)(static_cast<const hwy::bfloat16_t*>(part), sum, first, last);
  });
}

}  // namespace radlads
#endif  // HWY_ONCE
