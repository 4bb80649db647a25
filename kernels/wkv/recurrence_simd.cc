#include "kernels/wkv/recurrence_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/wkv/recurrence_simd.cc"
// AVX-512, AVX2, NEON and the scalar fallback; vectors must be of a size known at compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using Vector = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());
// Columns in registers at a time: two vectors, enough independent chains to hide the latency of an FMA.
constexpr int64_t kColumns = 2 * kLanes;
// Of a single token, whose time is that of reading the state, four where there are registers for them: the memory is
// then read in longer pieces.
constexpr int kTokenVectors = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;
static_assert(kWkvSlice % kColumns == 0);

HWY_INLINE void Prefetch(const WkvRun& run, int64_t t) {
  if (run.prefetch == nullptr) return;
  for (int64_t i = 0; i < run.prefetch->arrays; ++i) {
    const WkvPrefetch::Array& array = run.prefetch->array[i];
    if (run.first_row + t >= array.rows) continue;
    const char* row = array.data + (run.first_row + t) * array.stride;
    for (int64_t byte = 0; byte < array.bytes; byte += 64) hwy::Prefetch(row + byte);
  }
}

// As many columns as pass over the state at a time.
template <int N>
struct Vectors {
  Vector part[N];
};
template <int N, class F>
HWY_INLINE Vectors<N> Make(const F& part) {
  Vectors<N> x;
  for (int i = 0; i < N; ++i) x.part[i] = part(i);
  return x;
}
template <int N>
HWY_INLINE Vectors<N> Zeros() {
  return Make<N>([](int) HWY_ATTR { return hn::Zero(D()); });
}
template <int N>
HWY_INLINE Vectors<N> LoadColumns(const float* p) {
  return Make<N>([p](int i) HWY_ATTR { return hn::LoadU(D(), p + i * kLanes); });
}
template <int N>
HWY_INLINE void StoreColumns(const Vectors<N>& x, float* p) {
  for (int i = 0; i < N; ++i) hn::StoreU(x.part[i], D(), p + i * kLanes);
}
template <bool kStream, int N>
HWY_INLINE void StoreState(const Vectors<N>& x, float* p) {
  if constexpr (!kStream) return StoreColumns(x, p);
  for (int i = 0; i < N; ++i) hn::Stream(x.part[i], D(), p + i * kLanes);
}
template <int N>
HWY_INLINE Vectors<N> Mul(Vector a, const Vectors<N>& x) {
  return Make<N>([&](int i) HWY_ATTR { return hn::Mul(a, x.part[i]); });
}
// a * x + sum
template <int N>
HWY_INLINE Vectors<N> MulAdd(Vector a, const Vectors<N>& x, const Vectors<N>& sum) {
  return Make<N>([&](int i) HWY_ATTR { return hn::MulAdd(a, x.part[i], sum.part[i]); });
}

// Where the state of these columns is read and written.
struct StateRows {
  const float* from;
  int64_t from_stride;
  float* to;
  int64_t to_stride;
};

// Token t of wkv7. `sa` comes in as a^T h for this token; with kNext, it leaves as that for the next one, taken in the
// same pass. Returns r^T h if kOutput.
template <bool kNext, bool kOutput, bool kStream, int N>
HWY_INLINE Vectors<N> DeltaToken(const WkvRun& run, int64_t t, const StateRows& state, Vectors<N>& sa) {
  const D d;
  const int64_t keys = run.keys;
  const float* HWY_RESTRICT r = run.r + t * keys;
  const float* HWY_RESTRICT w = run.w + t * keys;
  const float* HWY_RESTRICT k = run.k + t * keys;
  const float* HWY_RESTRICT b = run.b + t * keys;
  const float* HWY_RESTRICT next_a = run.a + (kNext ? t + 1 : t) * keys;
  const Vectors<N> v = LoadColumns<N>(run.v + t * kWkvSlice);
  Vectors<N> output = Zeros<N>(), next = Zeros<N>();
  const float* from = state.from;
  float* to = state.to;
  for (int64_t i = 0; i < keys; ++i, from += state.from_stride, to += state.to_stride) {
    Vectors<N> h = Mul(hn::Set(d, w[i]), LoadColumns<N>(from));
    h = MulAdd(hn::Set(d, b[i]), sa, h);
    h = MulAdd(hn::Set(d, k[i]), v, h);
    StoreState<kStream>(h, to);
    if constexpr (kOutput) output = MulAdd(hn::Set(d, r[i]), h, output);
    if constexpr (kNext) next = MulAdd(hn::Set(d, next_a[i]), h, next);
  }
  sa = next;
  return output;
}

template <bool kOutput, int N>
void DeltaColumns(const WkvRun& run, StateRows state, int64_t step, float* sa_rows, float* output) {
  Vectors<N> sa = Zeros<N>();
  for (int64_t i = 0; i < run.keys; ++i) {
    sa = MulAdd(hn::Set(D(), run.a[i]), LoadColumns<N>(state.from + i * state.from_stride), sa);
  }
  for (int64_t t = 0; t < run.tokens; ++t) {
    Prefetch(run, t);
    if (sa_rows != nullptr) StoreColumns(sa, sa_rows + t * kWkvSlice);
    const Vectors<N> out = t + 1 < run.tokens ? DeltaToken<true, kOutput, false>(run, t, state, sa)
                           : run.stream       ? DeltaToken<false, kOutput, true>(run, t, state, sa)
                                              : DeltaToken<false, kOutput, false>(run, t, state, sa);
    if constexpr (kOutput) StoreColumns(out, output + t * kWkvSlice);
    state.from = state.to;
    state.from_stride = state.to_stride;
    state.to += step;
  }
}

// Tokens [t, t + kTokens) of wkv6 in one pass over the state, which saves loads and stores: no token needs a sum over
// the state that another one leaves. The result is that of one token after the other, bit for bit.
template <int kTokens, bool kOutput, bool kStream, int N>
HWY_INLINE void Tokens(const WkvRun& run, int64_t t, const StateRows& state, int64_t step, float* output) {
  const D d;
  const int64_t keys = run.keys;
  const float* HWY_RESTRICT r = run.r + t * keys;
  const float* HWY_RESTRICT w = run.w + t * keys;
  const float* HWY_RESTRICT k = run.k + t * keys;
  Vectors<N> v[kTokens], out[kTokens];
  for (int j = 0; j < kTokens; ++j) {
    Prefetch(run, t + j);
    v[j] = LoadColumns<N>(run.v + (t + j) * kWkvSlice);
    out[j] = Zeros<N>();
  }
  const float* from = state.from;
  float* to = state.to;
  for (int64_t i = 0; i < keys; ++i, from += state.from_stride, to += state.to_stride) {
    Vectors<N> h = LoadColumns<N>(from);
    for (int j = 0; j < kTokens; ++j) {
      h = MulAdd(hn::Set(d, k[j * keys + i]), v[j], Mul(hn::Set(d, w[j * keys + i]), h));
      if (step != 0 || j == kTokens - 1) StoreState<kStream>(h, to + j * step);
      if constexpr (kOutput) out[j] = MulAdd(hn::Set(d, r[j * keys + i]), h, out[j]);
    }
  }
  if constexpr (!kOutput) return;
  for (int j = 0; j < kTokens; ++j) StoreColumns(out[j], output + (t + j) * kWkvSlice);
}

template <bool kOutput, int N>
void PlainColumns(const WkvRun& run, StateRows state, int64_t step, float* output) {
  const auto advance = [&](int64_t tokens) {
    state.from = state.to + (tokens - 1) * step;
    state.from_stride = state.to_stride;
    state.to += tokens * step;
  };
  int64_t t = 0;
  // Two at a time keep the multipliers busy; with four, the chain of a row is longer than what the processor looks
  // ahead. Where every state is stored, there is little to save.
  for (; step == 0 && t + 2 <= run.tokens; t += 2) {
    Tokens<2, kOutput, false, N>(run, t, state, step, output);
    advance(2);
  }
  for (; t < run.tokens; ++t) {
    if (run.stream) {
      Tokens<1, kOutput, true, N>(run, t, state, step, output);
    } else {
      Tokens<1, kOutput, false, N>(run, t, state, step, output);
    }
    advance(1);
  }
}

// The N vectors of columns that the arguments point to.
template <int N>
HWY_INLINE void ForwardColumns(const WkvRun& run, const StateRows& state, int64_t step, float* sa, float* output) {
  if (run.a != nullptr && output != nullptr) {
    DeltaColumns<true, N>(run, state, step, sa, output);
  } else if (run.a != nullptr) {
    DeltaColumns<false, N>(run, state, step, sa, nullptr);
  } else if (output != nullptr) {
    PlainColumns<true, N>(run, state, step, output);
  } else {
    PlainColumns<false, N>(run, state, step, nullptr);
  }
}

void ForwardRun(const WkvRun& run, const float* before, int64_t before_stride, float* after, int64_t after_stride,
                int64_t step, float* sa, float* output) {
  WkvRun columns = run;
  for (int64_t c = 0; c < run.columns; columns.prefetch = nullptr) {
    columns.v = run.v + c;
    const StateRows state = {before + c, before_stride, after + c, after_stride};
    float* columns_output = output == nullptr ? nullptr : output + c;
    float* columns_sa = sa == nullptr ? nullptr : sa + c;
    if (run.columns - c >= kTokenVectors * kLanes && run.columns > kWkvSlice) {
      ForwardColumns<kTokenVectors>(columns, state, step, columns_sa, columns_output);
      c += kTokenVectors * kLanes;
    } else {
      ForwardColumns<2>(columns, state, step, columns_sa, columns_output);
      c += kColumns;
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
  WkvRun columns = run;
  for (int64_t c = 0; c < kWkvSlice; c += kColumns) {
    columns.v = run.v + c;
    if (run.a != nullptr) {
      BackwardColumns<true>(columns, before + c, states + c, sa + c, d_output + c, d_state + c, d_keys, d_v + c);
    } else {
      BackwardColumns<false>(columns, before + c, states + c, nullptr, d_output + c, d_state + c, d_keys, d_v + c);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(ForwardRun);
HWY_EXPORT(BackwardRun);

void WkvForwardRun(const WkvRun& run, const float* before, int64_t before_stride, float* after, int64_t after_stride,
                   int64_t step, float* sa, float* output) {
  HWY_DYNAMIC_DISPATCH(ForwardRun)(run, before, before_stride, after, after_stride, step, sa, output);
}

void WkvBackwardRun(const WkvRun& run, const float* before, const float* states, const float* sa, const float* d_output,
                    float* d_state, const WkvKeyGradients& d_keys, float* d_v) {
  HWY_DYNAMIC_DISPATCH(BackwardRun)(run, before, states, sa, d_output, d_state, d_keys, d_v);
}

}  // namespace radlads
#endif  // HWY_ONCE
