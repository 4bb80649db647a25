#include "kernels/wkv/recurrence_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv/recurrence_simd.cc"
// AVX-512, AVX2, NEON and the scalar fallback; vectors must be of a size known at compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using Vector = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());
// Columns in registers at a time: two vectors, enough independent chains to hide the latency of an
// FMA.
constexpr int64_t kColumns = 2 * kLanes;
static_assert(kWkvSlice % kColumns == 0);

template <bool kDelta>
HWY_INLINE void ForwardColumns(const WkvRun& run, const float* from, float* after, int64_t step, float* sa,
                               float* output) {
  const D d;
  const int64_t keys = run.keys;
  Vector sa0 = hn::Zero(d), sa1 = hn::Zero(d);
  if constexpr (kDelta) {
    for (int64_t i = 0; i < keys; ++i) {
      const Vector a = hn::Set(d, run.a[i]);
      sa0 = hn::MulAdd(a, hn::LoadU(d, from + i * kWkvSlice), sa0);
      sa1 = hn::MulAdd(a, hn::LoadU(d, from + i * kWkvSlice + kLanes), sa1);
    }
  }
  for (int64_t t = 0; t < run.tokens; ++t) {
    const float* HWY_RESTRICT r = run.r + t * keys;
    const float* HWY_RESTRICT w = run.w + t * keys;
    const float* HWY_RESTRICT k = run.k + t * keys;
    const float* HWY_RESTRICT b = kDelta ? run.b + t * keys : nullptr;
    // a of the next token: its sum with the new state is taken in the same pass. The last token's
    // is thrown away.
    const float* HWY_RESTRICT next_a = kDelta ? run.a + (t + 1 < run.tokens ? t + 1 : t) * keys : nullptr;
    const Vector v0 = hn::Load(d, run.v + t * kWkvSlice), v1 = hn::Load(d, run.v + t * kWkvSlice + kLanes);
    if (kDelta && sa != nullptr) {
      hn::Store(sa0, d, sa + t * kWkvSlice);
      hn::Store(sa1, d, sa + t * kWkvSlice + kLanes);
    }
    Vector out0 = hn::Zero(d), out1 = hn::Zero(d), next0 = hn::Zero(d), next1 = hn::Zero(d);
    const float* old_state = from;
    float* new_state = after + t * step;
    from = new_state;
    for (int64_t i = 0; i < keys; ++i, old_state += kWkvSlice, new_state += kWkvSlice) {
      const Vector w_i = hn::Set(d, w[i]), k_i = hn::Set(d, k[i]), r_i = hn::Set(d, r[i]);
      Vector h0 = hn::Mul(w_i, hn::LoadU(d, old_state)), h1 = hn::Mul(w_i, hn::LoadU(d, old_state + kLanes));
      if constexpr (kDelta) {
        const Vector b_i = hn::Set(d, b[i]);
        h0 = hn::MulAdd(b_i, sa0, h0);
        h1 = hn::MulAdd(b_i, sa1, h1);
      }
      h0 = hn::MulAdd(k_i, v0, h0);
      h1 = hn::MulAdd(k_i, v1, h1);
      hn::Store(h0, d, new_state);
      hn::Store(h1, d, new_state + kLanes);
      out0 = hn::MulAdd(r_i, h0, out0);
      out1 = hn::MulAdd(r_i, h1, out1);
      if constexpr (kDelta) {
        const Vector a_i = hn::Set(d, next_a[i]);
        next0 = hn::MulAdd(a_i, h0, next0);
        next1 = hn::MulAdd(a_i, h1, next1);
      }
    }
    sa0 = next0;
    sa1 = next1;
    if (output != nullptr) {
      hn::Store(out0, d, output + t * kWkvSlice);
      hn::Store(out1, d, output + t * kWkvSlice + kLanes);
    }
  }
}

void ForwardRun(const WkvRun& run, const float* before, float* after, int64_t step, float* sa, float* output) {
  for (int64_t c = 0; c < kWkvSlice; c += kColumns) {
    WkvRun columns = run;
    columns.v += c;
    float* columns_sa = sa == nullptr ? nullptr : sa + c;
    float* columns_output = output == nullptr ? nullptr : output + c;
    if (run.a != nullptr) {
      ForwardColumns<true>(columns, before + c, after + c, step, columns_sa, columns_output);
    } else {
      ForwardColumns<false>(columns, before + c, after + c, step, nullptr, columns_output);
    }
  }
}

// Products of one row that are to be summed over the columns.
struct RowSums {
  Vector r, w, k, a, b;
};

#if HWY_TARGET != HWY_SCALAR
// Lanes 0..3 of each 128-bit block: sums of x's even and y's even lanes, of x's odd and y's odd
// lanes.
HWY_INLINE Vector SumHalves(Vector x, Vector y) {
  return hn::Add(hn::InterleaveLower(D(), x, y), hn::InterleaveUpper(D(), x, y));
}

// target[j] += sum of lane j of all 128-bit blocks.
template <class DX>
HWY_INLINE void AddBlocks(DX d, hn::Vec<DX> x, float* target) {
  if constexpr (hn::MaxLanes(DX()) > 4) {
    const hn::Half<DX> half;
    AddBlocks(half, hn::Add(hn::LowerHalf(half, x), hn::UpperHalf(half, x)), target);
  } else {
    hn::Store(hn::Add(hn::Load(d, target), x), d, target);
  }
}

// target[j] += sum of the lanes of row j, where `rows01` = SumHalves(row 0, row 1) and `rows23` =
// SumHalves(row 2, row 3).
HWY_INLINE void AddRowSums(Vector rows01, Vector rows23, float* target) {
  const D d;
  const hn::Repartition<double, D> pairs;
  const auto x = hn::BitCast(pairs, rows01), y = hn::BitCast(pairs, rows23);
  AddBlocks(d,
            hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, x, y)), hn::BitCast(d, hn::InterleaveUpper(pairs, x, y))),
            target);
}
#endif

// What stays in registers while the rows of the state pass by.
struct Columns {
  Vector d_out0, d_out1, v0, v1, sa0, sa1;        // of the earlier token
  Vector d_sa0, d_sa1;                            // of the later token
  Vector d_v0, d_v1, d_sa_before0, d_sa_before1;  // sums for the earlier token
};

// Key rows of the two tokens that a step stands between.
struct StepRows {
  const float *w, *a;      // of the later token
  const float *r, *k, *b;  // of the earlier token
};

// One row of BackwardStep.
template <bool kDelta, bool kLater, bool kEarlier>
HWY_INLINE RowSums BackwardRow(const StepRows& rows, int64_t i, const float* HWY_RESTRICT state,
                               float* HWY_RESTRICT d_state, Columns& c) {
  const D d;
  RowSums sums;
  Vector g0 = hn::Load(d, d_state + i * kWkvSlice), g1 = hn::Load(d, d_state + i * kWkvSlice + kLanes);
  const Vector h0 = hn::LoadU(d, state + i * kWkvSlice), h1 = hn::LoadU(d, state + i * kWkvSlice + kLanes);
  if constexpr (kLater) {
    const Vector w = hn::Set(d, rows.w[i]);
    sums.w = hn::MulAdd(g1, h1, hn::Mul(g0, h0));
    g0 = hn::Mul(w, g0);
    g1 = hn::Mul(w, g1);
    if constexpr (kDelta) {
      const Vector a = hn::Set(d, rows.a[i]);
      sums.a = hn::MulAdd(h1, c.d_sa1, hn::Mul(h0, c.d_sa0));
      g0 = hn::MulAdd(a, c.d_sa0, g0);
      g1 = hn::MulAdd(a, c.d_sa1, g1);
    }
  }
  if constexpr (kEarlier) {
    const Vector r = hn::Set(d, rows.r[i]), k = hn::Set(d, rows.k[i]);
    sums.r = hn::MulAdd(h1, c.d_out1, hn::Mul(h0, c.d_out0));
    g0 = hn::MulAdd(r, c.d_out0, g0);
    g1 = hn::MulAdd(r, c.d_out1, g1);
    sums.k = hn::MulAdd(g1, c.v1, hn::Mul(g0, c.v0));
    c.d_v0 = hn::MulAdd(k, g0, c.d_v0);
    c.d_v1 = hn::MulAdd(k, g1, c.d_v1);
    if constexpr (kDelta) {
      const Vector b = hn::Set(d, rows.b[i]);
      sums.b = hn::MulAdd(g1, c.sa1, hn::Mul(g0, c.sa0));
      c.d_sa_before0 = hn::MulAdd(b, g0, c.d_sa_before0);
      c.d_sa_before1 = hn::MulAdd(b, g1, c.d_sa_before1);
    }
  }
  hn::Store(g0, d, d_state + i * kWkvSlice);
  hn::Store(g1, d, d_state + i * kWkvSlice + kLanes);
  return sums;
}

// Goes from the gradient of the state after a later token to that of the state after the token
// before it, in one pass: the tail of the later token's step (d_w, d_a, through the decay) and the
// head of the earlier one's (through the output, d_r, d_k, d_b, d_v, d_sa) touch the same rows.
// `state` is the one between the two. At the ends of a run one half is missing.
template <bool kDelta, bool kLater, bool kEarlier>
HWY_INLINE void BackwardStep(const StepRows& rows, int64_t keys, const float* state, float* d_state, Columns& columns,
                             const WkvKeyGradients& later, const WkvKeyGradients& earlier) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < keys; ++i) {
    const RowSums sums = BackwardRow<kDelta, kLater, kEarlier>(rows, i, state, d_state, columns);
    if constexpr (kLater) later.w[i] += hn::GetLane(sums.w);
    if constexpr (kLater && kDelta) later.a[i] += hn::GetLane(sums.a);
    if constexpr (kEarlier) earlier.r[i] += hn::GetLane(sums.r);
    if constexpr (kEarlier) earlier.k[i] += hn::GetLane(sums.k);
    if constexpr (kEarlier && kDelta) earlier.b[i] += hn::GetLane(sums.b);
  }
#else
  for (int64_t i = 0; i < keys; i += 4) {
    RowSums pairs[2];
    for (int64_t p = 0; p < 2; ++p) {
      const RowSums x = BackwardRow<kDelta, kLater, kEarlier>(rows, i + 2 * p, state, d_state, columns);
      const RowSums y = BackwardRow<kDelta, kLater, kEarlier>(rows, i + 2 * p + 1, state, d_state, columns);
      if constexpr (kLater) pairs[p].w = SumHalves(x.w, y.w);
      if constexpr (kLater && kDelta) pairs[p].a = SumHalves(x.a, y.a);
      if constexpr (kEarlier) pairs[p].r = SumHalves(x.r, y.r);
      if constexpr (kEarlier) pairs[p].k = SumHalves(x.k, y.k);
      if constexpr (kEarlier && kDelta) pairs[p].b = SumHalves(x.b, y.b);
    }
    if constexpr (kLater) AddRowSums(pairs[0].w, pairs[1].w, later.w + i);
    if constexpr (kLater && kDelta) AddRowSums(pairs[0].a, pairs[1].a, later.a + i);
    if constexpr (kEarlier) AddRowSums(pairs[0].r, pairs[1].r, earlier.r + i);
    if constexpr (kEarlier) AddRowSums(pairs[0].k, pairs[1].k, earlier.k + i);
    if constexpr (kEarlier && kDelta) AddRowSums(pairs[0].b, pairs[1].b, earlier.b + i);
  }
#endif
}

HWY_INLINE WkvKeyGradients AtToken(const WkvKeyGradients& d_keys, int64_t offset) {
  if (d_keys.a == nullptr) return {d_keys.r + offset, d_keys.w + offset, d_keys.k + offset, nullptr, nullptr};
  return {d_keys.r + offset, d_keys.w + offset, d_keys.k + offset, d_keys.a + offset, d_keys.b + offset};
}

template <bool kDelta>
HWY_INLINE void BackwardColumns(const WkvRun& run, const float* before, const float* states, const float* sa,
                                const float* d_output, float* d_state, const WkvKeyGradients& d_keys, float* d_v) {
  const D d;
  const int64_t keys = run.keys;
  const Vector zero = hn::Zero(d);
  Columns columns = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
  // The step at t stands between token t-1 and token t.
  for (int64_t t = run.tokens; t >= 0; --t) {
    const int64_t earlier = t - 1;
    const int64_t later_row = (t < run.tokens ? t : earlier) * keys, earlier_row = (earlier >= 0 ? earlier : t) * keys;
    StepRows rows = {run.w + later_row, nullptr, run.r + earlier_row, run.k + earlier_row, nullptr};
    if constexpr (kDelta) {
      rows.a = run.a + later_row;
      rows.b = run.b + earlier_row;
    }
    const float* state = earlier >= 0 ? states + earlier * keys * kWkvSlice : before;
    columns.d_v0 = columns.d_v1 = columns.d_sa_before0 = columns.d_sa_before1 = zero;
    if (earlier >= 0) {
      const int64_t row = earlier * kWkvSlice;
      columns.d_out0 = hn::Load(d, d_output + row);
      columns.d_out1 = hn::Load(d, d_output + row + kLanes);
      columns.v0 = hn::Load(d, run.v + row);
      columns.v1 = hn::Load(d, run.v + row + kLanes);
      if constexpr (kDelta) {
        columns.sa0 = hn::Load(d, sa + row);
        columns.sa1 = hn::Load(d, sa + row + kLanes);
      }
    }
    const WkvKeyGradients d_later = AtToken(d_keys, later_row), d_earlier = AtToken(d_keys, earlier_row);
    if (t == run.tokens) {
      BackwardStep<kDelta, false, true>(rows, keys, state, d_state, columns, d_later, d_earlier);
    } else if (t == 0) {
      BackwardStep<kDelta, true, false>(rows, keys, state, d_state, columns, d_later, d_earlier);
    } else {
      BackwardStep<kDelta, true, true>(rows, keys, state, d_state, columns, d_later, d_earlier);
    }
    if (earlier >= 0) {
      hn::Store(columns.d_v0, d, d_v + earlier * kWkvSlice);
      hn::Store(columns.d_v1, d, d_v + earlier * kWkvSlice + kLanes);
    }
    columns.d_sa0 = columns.d_sa_before0;
    columns.d_sa1 = columns.d_sa_before1;
  }
}

void BackwardRun(const WkvRun& run, const float* before, const float* states, const float* sa, const float* d_output,
                 float* d_state, const WkvKeyGradients& d_keys, float* d_v) {
  for (int64_t c = 0; c < kWkvSlice; c += kColumns) {
    WkvRun columns = run;
    columns.v += c;
    if (run.a != nullptr) {
      BackwardColumns<true>(columns, before + c, states + c, sa + c, d_output + c, d_state + c, d_keys, d_v + c);
    } else {
      BackwardColumns<false>(columns, before + c, states + c, nullptr, d_output + c, d_state + c, d_keys, d_v + c);
    }
  }
}

void ExpInPlace(float* values, int64_t count) {
  const D d;
  const Vector largest = hn::Set(d, 89.0f);  // exp of it is infinity; hn::Exp is not made for more
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vector x = hn::Load(d, values + i);
    const Vector bounded = hn::IfThenElse(hn::Gt(x, largest), largest, x);
    // hn::Exp takes NaN to 0.
    hn::Store(hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, bounded)), d, values + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRun);
HWY_EXPORT(BackwardRun);
HWY_EXPORT(ExpInPlace);

void WkvForwardRun(const WkvRun& run, const float* before, float* after, int64_t step, float* sa, float* output) {
  HWY_DYNAMIC_DISPATCH(ForwardRun)(run, before, after, step, sa, output);
}

void WkvBackwardRun(const WkvRun& run, const float* before, const float* states, const float* sa, const float* d_output,
                    float* d_state, const WkvKeyGradients& d_keys, float* d_v) {
  HWY_DYNAMIC_DISPATCH(BackwardRun)(run, before, states, sa, d_output, d_state, d_keys, d_v);
}

void WkvExp(float* values, int64_t count) {
  HWY_DYNAMIC_DISPATCH(ExpInPlace)(values, count);
}

}  // namespace radlads
#endif  // HWY_ONCE
