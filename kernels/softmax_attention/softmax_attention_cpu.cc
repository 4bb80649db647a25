#include "kernels/softmax_attention/softmax_attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_attention/softmax_attention_cpu.cc"
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <limits>
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

// out[i] = q . k.row[i]
HWY_INLINE void Dot(const float* q, const FourRows& k, size_t head_dim, float* out) {
  FloatV a = Splat(0.0f), b = a, c = a, d = a;
  ForEachVector(head_dim, [&](size_t i, auto part) HWY_ATTR {
    const auto v = Load(q + i, part);
    a = hn::MulAdd(v, Load(k.row[0] + i, part), a);
    b = hn::MulAdd(v, Load(k.row[1] + i, part), b);
    c = hn::MulAdd(v, Load(k.row[2] + i, part), c);
    d = hn::MulAdd(v, Load(k.row[3] + i, part), d);
  });
  out[0] = Sum(a);
  out[1] = Sum(b);
  out[2] = Sum(c);
  out[3] = Sum(d);
}

// y += sum of weights[i] * v.row[i]
HWY_INLINE void AddWeighted(const float* weights, const FourRows& v, size_t head_dim, float* y) {
  const FloatV a = Splat(weights[0]), b = Splat(weights[1]), c = Splat(weights[2]), d = Splat(weights[3]);
  ForEachVector(head_dim, [&](size_t i, auto part) HWY_ATTR {
    auto sum = hn::MulAdd(a, Load(v.row[0] + i, part), Load(y + i, part));
    sum = hn::MulAdd(b, Load(v.row[1] + i, part), sum);
    sum = hn::MulAdd(c, Load(v.row[2] + i, part), sum);
    Store(hn::MulAdd(d, Load(v.row[3] + i, part), sum), y + i, part);
  });
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

// Keys [begin, end) for all queries of one key head. partial [time * group, 2 + head_dim]: maximum, sum of weights,
// weighted sum of values.
template <class X>
void Chunk(const SoftmaxAttentionArguments& p, int64_t batch, int64_t kv_head, int64_t begin, int64_t end,
           float* partial) {
  const int64_t group = p.heads / p.kv_heads, rows = p.time * group, D = p.head_dim, count = end - begin;
  // Room for whole vectors of any size up to 64 floats.
  const int64_t stride = (count + 63) / 64 * 64;
  std::vector<float> memory(rows * (D + stride) + 4 * D);
  float* const q = memory.data();
  float* const scores = q + rows * D;
  float* const scratch = scores + rows * stride;
  for (int64_t row = 0; row < rows; ++row) {
    const X* from = HeadStart<X>(p.q, batch, kv_head * group + row % group) + row / group * p.q.time_stride;
    ForEachVector(D, [&](size_t i, auto part) HWY_ATTR { Store(Load(from + i, part), q + row * D + i, part); });
  }
  const X* k = HeadStart<X>(p.k, batch, kv_head) + begin * p.k.time_stride;
  for (int64_t at = 0; at < count; at += 4) {
    const FourRows keys(k, p.k.time_stride, at, count, D, scratch);
    for (int64_t row = 0; row < rows; ++row) Dot(q + row * D, keys, D, scores + row * stride + at);
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = row / group;
    const int64_t low = p.first == nullptr ? 0 : std::max<int64_t>(p.first[batch * p.time + token] - begin, 0);
    const int64_t high = p.keys - p.time + token + 1 - begin;
    float* of_row = scores + row * stride;
    std::fill(of_row, of_row + std::min(low, count), kMinusInfinity);
    std::fill(of_row + std::clamp<int64_t>(high, 0, count), of_row + stride, kMinusInfinity);
    float* out = partial + row * (2 + D);
    Weigh(of_row, stride, p.scale, &out[0], &out[1]);
    std::fill(out + 2, out + 2 + D, 0.0f);
  }
  const X* v = HeadStart<X>(p.v, batch, kv_head) + begin * p.v.time_stride;
  for (int64_t at = 0; at < count; at += 4) {
    const FourRows values(v, p.v.time_stride, at, count, D, scratch);
    for (int64_t row = 0; row < rows; ++row) {
      AddWeighted(scores + row * stride + at, values, D, partial + row * (2 + D) + 2);
    }
  }
}

void Chunks(const SoftmaxAttentionArguments& p, int64_t batch, int64_t kv_head, int64_t begin, int64_t end,
            float* partial) {
  WithElementType(p.bf16, [&](auto type) HWY_ATTR { Chunk<decltype(type)>(p, batch, kv_head, begin, end, partial); });
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

void SoftmaxAttentionFewCpu(const SoftmaxAttentionArguments& p, void* y) {
  // Chunks depend on the number of keys only, so that the result does not depend on the number of threads.
  constexpr int64_t kChunkKeys = 512;
  const int64_t first = p.first == nullptr ? 0 : *std::min_element(p.first, p.first + p.batch * p.time);
  const int64_t chunks = (p.keys - first + kChunkKeys - 1) / kChunkKeys, group = p.heads / p.kv_heads;
  const int64_t row_size = 2 + p.head_dim, rows = p.time * group, sequences = p.batch * p.kv_heads;
  std::vector<float> partial(sequences * chunks * rows * row_size);
  ParallelForDynamic(sequences * chunks, [&](int64_t item) {
    const int64_t sequence = item / chunks, begin = first + item % chunks * kChunkKeys;
    HWY_DYNAMIC_DISPATCH(Chunks)
    (p, sequence / p.kv_heads, sequence % p.kv_heads, begin, std::min(p.keys, begin + kChunkKeys),
     partial.data() + item * rows * row_size);
  });
  for (int64_t sequence = 0; sequence < sequences; ++sequence) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t token = sequence / p.kv_heads * p.time + row / group;
      const int64_t head = sequence % p.kv_heads * group + row % group;
      HWY_DYNAMIC_DISPATCH(Join)
      (partial.data() + (sequence * chunks * rows + row) * row_size, chunks, rows * row_size, p.head_dim, p.bf16, y,
       (token * p.heads + head) * p.head_dim);
    }
  }
}

}  // namespace radlads
#endif  // HWY_ONCE
