#include "kernels/softmax_attention/softmax_attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_attention/softmax_attention_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

template <class X>
const X* HeadStart(const AttentionOperand& x, int64_t batch, int64_t head) {
  return static_cast<const X*>(x.data) + batch * x.batch_stride + head * x.head_stride;
}

// Rows [at, at + 4) of a sequence of `count` rows as fp32; the last one stands for those beyond it.
struct FourRows {
  // fp32 is read where it is, bf16 through scratch [4, head_dim].
  FourRows(const float* start, int64_t stride, int64_t at, int64_t count, int64_t, float*) {
    for (int64_t i = 0; i < 4; ++i) row[i] = start + std::min(at + i, count - 1) * stride;
  }
  FourRows(const hwy::bfloat16_t* start, int64_t stride, int64_t at, int64_t count, int64_t head_dim, float* scratch) {
    for (int64_t r = 0; r < 4; ++r) {
      const hwy::bfloat16_t* from = start + std::min(at + r, count - 1) * stride;
      float* to = scratch + r * head_dim;
      ForEachVector(head_dim, [&](size_t i, auto part) HWY_ATTR { Store(Load(from + i, part), to + i, part); });
      row[r] = to;
    }
  }
  const float* row[4];
};

// Calls f(row, count) for `rows` rows in turn, as many together as the registers hold the sums of: a key or value that
// is read serves all of these queries.
template <class F>
HWY_INLINE void ForEachRows(int64_t rows, const F& f) {
  constexpr int64_t kTogether = hn::MaxLanes(Floats()) >= 16 ? 4 : 2;
  int64_t row = 0;
  for (; row + kTogether <= rows; row += kTogether) f(row, std::integral_constant<int64_t, kTogether>());
  for (; row < rows; ++row) f(row, std::integral_constant<int64_t, 1>());
}

#if HWY_TARGET == HWY_SCALAR
// out[i] = sum of the lanes of v[i]
HWY_INLINE void StoreSums(const FloatV (&v)[4], float* out) {
  for (int64_t i = 0; i < 4; ++i) out[i] = Sum(v[i]);
}
#else
template <class D, class V>
HWY_INLINE auto SumOfBlocks(D d, V v) {
  if constexpr (hn::MaxLanes(d) <= 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return SumOfBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// out[i] = sum of the lanes of v[i]
HWY_INLINE void StoreSums(const FloatV (&v)[4], float* out) {
  const Floats d;
  const hn::Repartition<double, Floats> pairs;
  const auto together = [d, pairs](FloatV a, FloatV b) HWY_ATTR {
    // Lanes a b a b of each block of four.
    return hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  };
  const auto ab = together(v[0], v[1]), cd = together(v[2], v[3]);
  const auto blocks =
      hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, ab, cd)), hn::BitCast(d, hn::InterleaveUpper(pairs, ab, cd)));
  hn::StoreU(SumOfBlocks(d, blocks), hn::CappedTag<float, 4>(), out);
}
#endif

template <int64_t kRows, class Size>
HWY_INLINE void AddProducts(const float* q, size_t head_dim, const FourRows& k, size_t at, Size size,
                            FloatV (&sum)[kRows][4]) {
  FloatV key[4];
  RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) key[i] = Load(k.row[i] + at, size);
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    const FloatV query = Load(q + r * head_dim + at, size);
    RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) sum[r][i] = hn::MulAdd(query, key[i], sum[r][i]);
  }
}

// out[r * stride + i] = q[r] . k.row[i] for kRows queries [kRows, head_dim].
template <int64_t kRows>
HWY_INLINE void Dot(const float* q, const FourRows& k, size_t head_dim, float* out, int64_t stride) {
  FloatV sum[kRows][4];
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) sum[r][i] = Splat(0.0f);
  }
  const size_t lanes = hn::Lanes(Floats());
  size_t at = 0;
  for (; at + lanes <= head_dim; at += lanes) AddProducts<kRows>(q, head_dim, k, at, Whole(), sum);
  if (at < head_dim) AddProducts<kRows>(q, head_dim, k, at, Part{head_dim - at}, sum);
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) StoreSums(sum[r], out + r * stride);
}

// y[r] += sum of weights[r * stride + i] * v.row[i], y [kRows, y_stride]
template <int64_t kRows>
HWY_INLINE void AddWeighted(const float* weights, int64_t stride, const FourRows& v, size_t head_dim, float* y,
                            int64_t y_stride) {
  FloatV weight[kRows][4];
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) weight[r][i] = Splat(weights[r * stride + i]);
  }
  const auto add = [&](size_t at, auto size) HWY_ATTR {
    FloatV value[4];
    RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) value[i] = Load(v.row[i] + at, size);
    RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
      FloatV sum = Load(y + r * y_stride + at, size);
      RADLADS_UNROLL for (int64_t i = 0; i < 4; ++i) sum = hn::MulAdd(weight[r][i], value[i], sum);
      Store(sum, y + r * y_stride + at, size);
    }
  };
  ForEachVector(head_dim, add);
}

// Scores [count], a multiple of the lanes, -infinity where there is no key -> weights e^(scale * (score - maximum)) in
// their place. Returns scale * maximum and the sum of the weights.
HWY_INLINE void Weigh(float* scores, size_t count, float scale, float* maximum, float* sum) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  FloatV largest = Splat(kMinusInfinity);
  for (size_t i = 0; i < count; i += lanes) largest = hn::Max(largest, hn::LoadU(d, scores + i));
  *maximum = hn::GetLane(hn::MaxOfLanes(d, largest)) * scale;
  // Without a key there is nothing to shift by.
  const FloatV shift = Splat(*maximum == kMinusInfinity ? 0 : *maximum);
  FloatV total = Splat(0.0f);
  for (size_t i = 0; i < count; i += lanes) {
    const auto s = hn::LoadU(d, scores + i);
    const auto w = hn::IfThenZeroElse(hn::Eq(s, Splat(kMinusInfinity)), Exp(hn::MulSub(s, Splat(scale), shift)));
    total = hn::Add(total, w);
    hn::StoreU(w, d, scores + i);
  }
  *sum = Sum(total);
}

// Keys [begin, end) for queries [token, token + time) of one key head. partial [time * group, 2 + head_dim]: maximum,
// sum of weights, weighted sum of values.
template <class X>
void Chunk(const SoftmaxAttentionArguments& p, int64_t batch, int64_t kv_head, int64_t first_token, int64_t time,
           int64_t begin, int64_t end, float* partial) {
  const int64_t group = p.heads / p.kv_heads, rows = time * group, D = p.head_dim, count = end - begin;
  // Room for whole vectors of any size up to 64 floats, and a cache line more: rows a power of two apart would fall on
  // the same lines.
  const int64_t stride = (count + 63) / 64 * 64 + 16;
  std::vector<float> memory(rows * (D + stride) + 4 * D);
  float* const q = memory.data();
  float* const scores = q + rows * D;
  float* const scratch = scores + rows * stride;
  for (int64_t row = 0; row < rows; ++row) {
    const X* from =
        HeadStart<X>(p.q, batch, kv_head * group + row % group) + (first_token + row / group) * p.q.time_stride;
    ForEachVector(D, [&](size_t i, auto part) HWY_ATTR { Store(Load(from + i, part), q + row * D + i, part); });
  }
  const X* k = HeadStart<X>(p.k, batch, kv_head) + begin * p.k.time_stride;
  for (int64_t at = 0; at < count; at += 4) {
    const FourRows keys(k, p.k.time_stride, at, count, D, scratch);
    ForEachRows(rows, [&](int64_t row, auto count)
                          HWY_ATTR { Dot<count>(q + row * D, keys, D, scores + row * stride + at, stride); });
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = first_token + row / group;
    const int64_t low = p.first == nullptr ? 0 : std::max<int64_t>(p.first[batch * p.time + token] - begin, 0);
    const int64_t high = p.length(batch) - p.time + token + 1 - begin;
    float* of_row = scores + row * stride;
    std::fill(of_row, of_row + std::min(low, count), kMinusInfinity);
    std::fill(of_row + std::clamp<int64_t>(high, 0, count), of_row + stride - 16, kMinusInfinity);
    float* out = partial + row * (2 + D);
    Weigh(of_row, stride - 16, p.scale, &out[0], &out[1]);
    std::fill(out + 2, out + 2 + D, 0.0f);
  }
  const X* v = HeadStart<X>(p.v, batch, kv_head) + begin * p.v.time_stride;
  for (int64_t at = 0; at < count; at += 4) {
    const FourRows values(v, p.v.time_stride, at, count, D, scratch);
    ForEachRows(rows, [&](int64_t row, auto count) HWY_ATTR {
      AddWeighted<count>(scores + row * stride + at, stride, values, D, partial + row * (2 + D) + 2, 2 + D);
    });
  }
}

void Chunks(const SoftmaxAttentionArguments& p, int64_t batch, int64_t kv_head, int64_t first_token, int64_t time,
            int64_t begin, int64_t end, float* partial) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR {
    Chunk<decltype(type)>(p, batch, kv_head, first_token, time, begin, end, partial);
  });
}

// Joins the `chunks` partial results of one query, `stride` floats apart.
void Join(const float* partial, int64_t chunks, int64_t stride, int64_t head_dim, bool bf16, void* y, int64_t offset) {
  float maximum = kMinusInfinity;
  for (int64_t i = 0; i < chunks; ++i) maximum = std::max(maximum, partial[i * stride]);
  const float shift = maximum == kMinusInfinity ? 0 : maximum;
  std::vector<float> sum(1 + head_dim);
  for (int64_t i = 0; i < chunks; ++i) {
    const FloatV weight = Splat(std::exp(partial[i * stride] - shift));
    ForEachVector(1 + head_dim, [&](size_t at, auto part) HWY_ATTR {
      const auto more = hn::MulAdd(weight, Load(partial + i * stride + 1 + at, part), Load(sum.data() + at, part));
      Store(more, sum.data() + at, part);
    });
  }
  const FloatV factor = Splat(1 / sum[0]);
  WithElementType(bf16, [&](auto type) HWY_ATTR {
    auto* out = static_cast<decltype(type)*>(y) + offset;
    ForEachVector(head_dim, [&](size_t at, auto part)
                                HWY_ATTR { Store(hn::Mul(factor, Load(sum.data() + 1 + at, part)), out + at, part); });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(Chunks);
HWY_EXPORT(Join);

namespace {

// Chunks begin at multiples of this, so that a query's sums have the same order whatever else is asked and whichever
// thread computes them.
constexpr int64_t kChunkKeys = 512;
constexpr int64_t kBlockRows = 128;  // queries, of all heads of a group, that go over the keys together

// Queries [token, token + time) of every sequence.
void Block(const SoftmaxAttentionArguments& p, int64_t token, int64_t time, void* y) {
  // The keys that sequence b sees end here.
  const auto end_of = [&](int64_t b) { return p.length(b) - p.time + token + time; };
  int64_t first = p.first == nullptr ? 0 : p.keys, end = 0;
  for (int64_t batch = 0; batch < p.batch; ++batch) end = std::max(end, end_of(batch));
  for (int64_t batch = 0; p.first != nullptr && batch < p.batch; ++batch) {
    const int64_t* of_row = p.first + batch * p.time + token;
    first = std::min(first, *std::min_element(of_row, of_row + time));
  }
  first -= first % kChunkKeys;
  const auto chunks_before = [&](int64_t key) { return (key - first + kChunkKeys - 1) / kChunkKeys; };
  const int64_t chunks = chunks_before(end);
  const int64_t group = p.heads / p.kv_heads, rows = time * group, row_size = 2 + p.head_dim;
  const int64_t sequences = p.batch * p.kv_heads;
  const SharedMemory partial(sequences * chunks * rows * row_size * sizeof(float));
  ParallelForDynamic(sequences * chunks, [&](int64_t item) {
    const int64_t sequence = item / chunks, batch = sequence / p.kv_heads, begin = first + item % chunks * kChunkKeys;
    if (begin >= end_of(batch)) return;
    HWY_DYNAMIC_DISPATCH(Chunks)
    (p, batch, sequence % p.kv_heads, token, time, begin, std::min(end_of(batch), begin + kChunkKeys),
     partial.floats() + item * rows * row_size);
  });
  ParallelFor(sequences * rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t sequence = item / rows, row = item % rows, batch = sequence / p.kv_heads;
      const int64_t to = batch * p.time + token + row / group;
      const int64_t head = sequence % p.kv_heads * group + row % group;
      HWY_DYNAMIC_DISPATCH(Join)
      (partial.floats() + (sequence * chunks * rows + row) * row_size, chunks_before(end_of(batch)), rows * row_size,
       p.head_dim, p.bf16, y, (to * p.heads + head) * p.head_dim);
    }
  });
}

}  // namespace

void SoftmaxAttentionCpu(const SoftmaxAttentionArguments& p, void* y) {
  // Measured in softmax_attention_benchmark.
  if (!p.bf16 || p.lengths != nullptr || !SoftmaxAttentionBf16Supported() || p.time * (p.heads / p.kv_heads) <= 8) {
    return SoftmaxAttentionRowsCpu(p, y);
  }
  const SharedMemory workspace(SoftmaxAttentionBf16WorkspaceSize(p));
  SoftmaxAttentionBf16Cpu(p, workspace.data(), y);
}

void SoftmaxAttentionRowsCpu(const SoftmaxAttentionArguments& p, void* y) {
  const int64_t block = std::max<int64_t>(1, kBlockRows / (p.heads / p.kv_heads));
  for (int64_t token = 0; token < p.time; token += block) {
    Block(p, token, std::min(block, p.time - token), y);
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
