#include "kernels/quantized_linear/quantized_linear_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantized_linear/quantized_linear_cpu.cc"
// AVX-512, AVX2, NEON and the scalar fallback; vectors must be of a size known at compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#include "hwy/foreach_target.h"  // must come before simd-inl.h
#include "hwy/highway.h"
//
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear_x86.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

constexpr int64_t kLanes = hn::MaxLanes(Floats());
constexpr int64_t kGroupVectors = kGroup / kLanes;
// Sums in registers at a time: half of the 32 of AVX-512 and NEON, half of the 16 of AVX2.
constexpr int64_t kSums = HWY_TARGET == HWY_AVX2 ? 8 : 16;

using Ints = hn::RebindToSigned<Floats>;
using IntV = hn::Vec<Ints>;

// fp16 -> fp32, NaN and infinity included, which Highway leaves out where the processor has no such conversion.
HWY_INLINE FloatV LoadHalf(const uint8_t* p) {
  const Floats d;
  if constexpr (kLanes >= 8) {
    const hn::Rebind<hwy::float16_t, Floats> d16;
    return hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
  } else {
    const Ints di;
    const hn::RebindToUnsigned<Floats> d32;
    const hn::Rebind<uint16_t, Floats> d16;
    const IntV bits = hn::BitCast(di, hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p))));
    const IntV sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(di, 0x8000)));
    const IntV magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(di, 0x7FFF)));
    const IntV finite = hn::BitCast(di, hn::Mul(hn::BitCast(d, magnitude), Splat(0x1p112f)));
    const auto is_finite = hn::Lt(magnitude, hn::Set(di, 0x7C00 << 13));
    return hn::BitCast(d, hn::Or(sign, hn::IfThenElse(is_finite, finite, hn::Or(magnitude, hn::Set(di, 0x7F800000)))));
  }
}

// The kMask << kBit bits of each lane as a number, less kMiddle: put into the mantissa of 2^(23 - kBit), which is
// exact.
template <int kMask, int kMiddle, int kBit>
HWY_INLINE FloatV Code(IntV bits) {
  static_assert((kMask << kBit) < 1 << 23);
  const Ints di;
  const auto placed = hn::Or(hn::And(bits, hn::Set(di, kMask << kBit)), hn::Set(di, (127 + 23 - kBit) << 23));
  return hn::Sub(hn::BitCast(Floats(), placed), Splat(static_cast<float>((1 << (23 - kBit)) + kMiddle)));
}

// Four bytes of an output in each lane -> the codes of its inputs, which Each(input, codes) takes in a fixed order.
struct Q8 {
  static constexpr int64_t kBytes = kPackedQ8;
  static constexpr int64_t kInputs = 4;  // of a lane
  static constexpr bool kHasMin = false;
  template <class Each>
  static HWY_INLINE void Decode(IntV bits, const Each& each) {
    each(0, Code<255, 128, 0>(bits));
    each(1, Code<255, 128, 8>(bits));
    each(2, Code<255, 128, 8>(hn::ShiftRight<8>(bits)));
    each(3, Code<255, 128, 8>(hn::ShiftRight<16>(bits)));
  }
  static HWY_INLINE void DecodeOne(const uint8_t* block, int64_t o, float scale, float, float* row) {
    for (int64_t i = 0; i < kWeightBlock; ++i) row[i] = scale * (block[(i / 4 * kGroup + o) * 4 + i % 4] - 128);
  }
};
struct Q4 {
  static constexpr int64_t kBytes = kPackedQ4;
  static constexpr int64_t kInputs = 8;
  static constexpr bool kHasMin = true;
  template <class Each>
  static HWY_INLINE void Decode(IntV bits, const Each& each) {
    const IntV high = hn::ShiftRight<12>(bits);
    each(0, Code<15, 8, 0>(bits));
    each(1, Code<15, 8, 8>(bits));
    each(2, Code<15, 8, 16>(bits));
    each(3, Code<15, 8, 12>(high));
    each(4, Code<15, 8, 4>(bits));
    each(5, Code<15, 8, 12>(bits));
    each(6, Code<15, 8, 8>(high));
    each(7, Code<15, 8, 16>(high));
  }
  static HWY_INLINE void DecodeOne(const uint8_t* block, int64_t o, float scale, float min, float* row) {
    for (int64_t i = 0; i < kWeightBlock; ++i) {
      row[i] = scale * (block[(i / 8 * kGroup + o) * 4 + i % 4] >> (i % 8 < 4 ? 0 : 4) & 15) + min;
    }
  }
};

// x in fp32 with zeros up to whole blocks [rows, blocks * kWeightBlock], then the sum over each block [rows, blocks].
struct PaddedRows {
  PaddedRows(const PreparedRows& p, float* memory)
      : blocks(Blocks(p.in)), x(memory), sums(memory + p.rows * blocks * kWeightBlock) {}
  const int64_t blocks;
  float* const x;
  float* const sums;
};

template <class T>
void PadBlocks(const PreparedRows& p, int64_t first, int64_t last, const PaddedRows& to) {
  for (int64_t row = 0; row < p.rows; ++row) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kWeightBlock, count = std::min(kWeightBlock, p.in - begin);
      const T* x = static_cast<const T*>(p.x) + row * p.in + begin;
      float* padded = to.x + (row * to.blocks + block) * kWeightBlock;
      std::fill(padded + count, padded + kWeightBlock, 0.0f);
      ForEachVector(count, [&](size_t i, auto size) HWY_ATTR { Store(Load(x + i, size), padded + i, size); });
      FloatV sum = Splat(0.0f);
      ForEachVector(kWeightBlock, [&](size_t i, auto) HWY_ATTR { sum = hn::Add(sum, Load(padded + i, Whole())); });
      to.sums[row * to.blocks + block] = Sum(sum);
    }
  }
}

void PadRows(const PreparedRows& p, int64_t first, int64_t last, void* memory) {
  const PaddedRows to(p, static_cast<float*>(memory));
  WithElementType(p.x_bf16, [&](auto type) HWY_ATTR { PadBlocks<decltype(type)>(p, first, last, to); });
}

// kRows rows from `row` on, kVectors vectors of outputs from `lane` of the group on.
template <class Q, int64_t kRows, int64_t kVectors>
void QuantizedTile(const PaddedRows& p, const uint8_t* block, int64_t row, int64_t lane, float* sums) {
  const int64_t stride = p.blocks * kWeightBlock;
  const float* x = p.x + row * stride;
  const float* x_sums = p.sums + row * p.blocks;
  FloatV total[kRows][kVectors];
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) total[r][v] = Splat(0.0f);
  }
  for (int64_t b = 0; b < p.blocks; ++b, block += Q::kBytes, x += kWeightBlock) {
    FloatV sum[kRows][kVectors];
    RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
      RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = Splat(0.0f);
    }
    for (int64_t i = 0; i < kWeightBlock; i += Q::kInputs) {
      const auto* codes = reinterpret_cast<const int32_t*>(block) + i / Q::kInputs * kGroup + lane;
      RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) {
        Q::Decode(hn::LoadU(Ints(), codes + v * kLanes), [&](int64_t k, FloatV w) HWY_ATTR {
          RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) sum[r][v] = hn::MulAdd(w, Splat(x[r * stride + i + k]), sum[r][v]);
        });
      }
    }
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) {
      const uint8_t* factors = block + Q::kBytes - (Q::kHasMin ? 4 : 2) * kGroup + 2 * (lane + v * kLanes);
      const FloatV scale = LoadHalf(factors);
      RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) total[r][v] = hn::MulAdd(scale, sum[r][v], total[r][v]);
      if constexpr (Q::kHasMin) {
        // Codes are taken less 8.
        const FloatV middle = hn::MulAdd(scale, Splat(8.0f), LoadHalf(factors + 2 * kGroup));
        RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
          total[r][v] = hn::MulAdd(middle, Splat(x_sums[r * p.blocks + b]), total[r][v]);
        }
      }
    }
  }
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) Store(total[r][v], sums + (row + r) * kGroup + lane + v * kLanes, Whole());
  }
}

template <class Q, int64_t kRows>
void QuantizedTiles(const PaddedRows& p, const uint8_t* weights, int64_t row, float* sums) {
  constexpr int64_t kVectors = std::clamp<int64_t>(kSums / kRows, 1, kGroupVectors);
  for (int64_t lane = 0; lane < kGroup; lane += kVectors * kLanes) {
    QuantizedTile<Q, kRows, kVectors>(p, weights, row, lane, sums);
  }
}

template <class Q>
void QuantizedGroup(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  const PaddedRows p(x, static_cast<float*>(x.prepared));
  const uint8_t* weights = w.data() + group * p.blocks * Q::kBytes;
  int64_t row = 0;
  for (; row + 8 <= x.rows; row += 8) QuantizedTiles<Q, 8>(p, weights, row, sums);
  if (row + 4 <= x.rows) QuantizedTiles<Q, 4>(p, weights, row, sums), row += 4;
  if (row + 2 <= x.rows) QuantizedTiles<Q, 2>(p, weights, row, sums), row += 2;
  if (row < x.rows) QuantizedTiles<Q, 1>(p, weights, row, sums);
}

void Q8Group(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  QuantizedGroup<Q8>(w, x, group, sums);
}
void Q4Group(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  QuantizedGroup<Q4>(w, x, group, sums);
}

// Packed fp32 weights. A sum over inputs is made of sums over so many of them, in that order.
constexpr int64_t kChain = 256;

HWY_INLINE FloatV Broadcast(const float* x) {
  return Splat(*x);
}
HWY_INLINE FloatV Broadcast(const hwy::bfloat16_t* x) {
  uint16_t bits;
  std::memcpy(&bits, x, sizeof(bits));
  const hn::RebindToUnsigned<Floats> d32;
  return hn::BitCast(Floats(), hn::Set(d32, static_cast<uint32_t>(bits) << 16));
}

// Adds `count` inputs to sums [kRows, kGroup], or sets them to that.
template <class X, int64_t kRows, int64_t kVectors>
HWY_INLINE void PackedTile(const float* w, const X* x, int64_t in, int64_t count, bool add, float* sums) {
  FloatV sum[kRows][kVectors];
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = Splat(0.0f);
  }
  for (int64_t i = 0; i < count; ++i, w += kGroup) {
    FloatV w_i[kVectors];
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) w_i[v] = Load(w + v * kLanes, Whole());
    RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
      const FloatV x_i = Broadcast(x + r * in + i);
      RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(w_i[v], x_i, sum[r][v]);
    }
  }
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t v = 0; v < kVectors; ++v) {
      float* to = sums + r * kGroup + v * kLanes;
      Store(add ? hn::Add(Load(to, Whole()), sum[r][v]) : sum[r][v], to, Whole());
    }
  }
}

template <class X, int64_t kRows>
HWY_INLINE void PackedTiles(const float* w, const X* x, int64_t in, int64_t count, bool add, float* sums) {
  // Two vectors for every value of x, and no fewer chains of additions than hide their latency.
  constexpr int64_t kVectors = std::min(kGroupVectors, std::max<int64_t>(2, 4 / kRows));
  for (int64_t lane = 0; lane < kGroup; lane += kVectors * kLanes) {
    PackedTile<X, kRows, kVectors>(w + lane, x, in, count, add, sums + lane);
  }
}

template <class X>
void PackedGroupOf(const WeightMatrix& matrix, const PreparedRows& p, int64_t group, float* sums) {
  constexpr int64_t kTall = kSums / 2;
  const float* w = reinterpret_cast<const float*>(matrix.data()) + group * p.in * kGroup;
  const X* x = static_cast<const X*>(p.x);
  for (int64_t begin = 0; begin < p.in; begin += kChain) {
    const int64_t count = std::min(kChain, p.in - begin);
    int64_t row = 0;
    const auto tiles = [&](auto rows) HWY_ATTR {
      PackedTiles<X, rows>(w + begin * kGroup, x + row * p.in + begin, p.in, count, begin > 0, sums + row * kGroup);
      row += rows;
    };
    while (row + kTall <= p.rows) tiles(std::integral_constant<int64_t, kTall>());
    if (kTall > 4 && row + 4 <= p.rows) tiles(std::integral_constant<int64_t, 4>());
    if (row + 2 <= p.rows) tiles(std::integral_constant<int64_t, 2>());
    if (row < p.rows) tiles(std::integral_constant<int64_t, 1>());
  }
}

void PackedGroup(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  WithElementType(x.x_bf16, [&](auto type) HWY_ATTR { PackedGroupOf<decltype(type)>(w, x, group, sums); });
}

// Row-major weights: a vector runs along the inputs, and its lanes are summed at the end.
template <int64_t kRows, int64_t kOutputs, class W, class X, class Size>
HWY_INLINE void AddDense(const W* w, const X* x, int64_t in, Size size, FloatV (&sum)[kRows][kOutputs]) {
  FloatV w_i[kOutputs];
  RADLADS_UNROLL for (int64_t o = 0; o < kOutputs; ++o) w_i[o] = Load(w + o * in, size);
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    const FloatV x_i = Load(x + r * in, size);
    RADLADS_UNROLL for (int64_t o = 0; o < kOutputs; ++o) sum[r][o] = hn::MulAdd(w_i[o], x_i, sum[r][o]);
  }
}

// The rows that follow in the matrix are fetched into L2 meanwhile, if so asked.
template <class W, class X, int64_t kRows, int64_t kOutputs, bool kFetch>
void DenseTile(const W* w, const X* x, int64_t in, float* sums) {
  FloatV sum[kRows][kOutputs];
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t o = 0; o < kOutputs; ++o) sum[r][o] = Splat(0.0f);
  }
  int64_t i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    if constexpr (kFetch) {
      RADLADS_UNROLL for (int64_t o = 0; o < kOutputs; ++o) __builtin_prefetch(w + (kOutputs + o) * in + i, 0, /*locality=*/2);
    }
    AddDense<kRows, kOutputs>(w + i, x + i, in, Whole(), sum);
  }
  if (i < in) AddDense<kRows, kOutputs>(w + i, x + i, in, Part{static_cast<size_t>(in - i)}, sum);
  RADLADS_UNROLL for (int64_t r = 0; r < kRows; ++r) {
    RADLADS_UNROLL for (int64_t o = 0; o < kOutputs; ++o) sums[r * kGroup + o] = Sum(sum[r][o]);
  }
}

// All rows with kOutputs outputs, kTall rows at a time.
template <class W, class X, int64_t kTall, int64_t kOutputs>
void DenseRows(const W* w, const PreparedRows& p, float* sums) {
  const X* x = static_cast<const X*>(p.x);
  const auto tile = [&](auto multiply, int64_t row) { multiply(w, x + row * p.in, p.in, sums + row * kGroup); };
  int64_t row = 0;
  if (p.rows >= kTall) tile(DenseTile<W, X, kTall, kOutputs, (kOutputs > 1)>, 0), row = kTall;
  for (; row + kTall <= p.rows; row += kTall) tile(DenseTile<W, X, kTall, kOutputs, false>, row);
  for (; row < p.rows; ++row) tile(DenseTile<W, X, 1, kOutputs, false>, row);
}

template <class W, class X>
void DenseGroupOf(const WeightMatrix& matrix, const PreparedRows& p, int64_t group, float* sums) {
  // As many sums in registers as leave a few for the operands.
  constexpr int64_t kWide = kSums == 16 ? 4 : 2;
  const W* w = reinterpret_cast<const W*>(matrix.data());
  const int64_t first = group * kGroup, last = std::min(first + kGroup, matrix.out());
  int64_t o = first;
  // Few rows take what the memory gives, most when it is read front to back: output by output.
  for (; o + kWide <= last && p.rows >= 4; o += kWide) DenseRows<W, X, 4, kWide>(w + o * p.in, p, sums + o - first);
  for (; o < last; ++o) {
    const auto output = p.rows == 2 ? DenseRows<W, X, 2, 1> : DenseRows<W, X, 3, 1>;
    output(w + o * p.in, p, sums + o - first);
  }
}

void DenseGroup(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  WithElementType(w.kind() == WeightKind::kBf16, [&](auto w_type) HWY_ATTR {
    WithElementType(x.x_bf16,
                    [&](auto x_type) HWY_ATTR { DenseGroupOf<decltype(w_type), decltype(x_type)>(w, x, group, sums); });
  });
}

// Rows first .. first + count of packed fp32 weights [count, in].
template <class T>
void UnpackRows(const WeightMatrix& w, int64_t first, int64_t count, T* to) {
  for (int64_t row = first; row < first + count; ++row, to += w.in()) {
    const float* from = reinterpret_cast<const float*>(w.data()) + row / kGroup * kGroup * w.in() + row % kGroup;
    for (int64_t begin = 0; begin < w.in(); begin += kLanes) {
      HWY_ALIGN float some[kLanes] = {};
      const int64_t inputs = std::min(kLanes, w.in() - begin);
      for (int64_t i = 0; i < inputs; ++i) some[i] = from[(begin + i) * kGroup];
      ForEachVector(inputs, [&](size_t i, auto size) HWY_ATTR { Store(Load(some + i, Whole()), to + begin + i, size); });
    }
  }
}

// The same of blocks.
template <class Q, class T>
void UnpackBlocks(const WeightMatrix& w, int64_t first, int64_t count, T* to) {
  const int64_t blocks = Blocks(w.in());
  for (int64_t done = 0; done < count;) {
    const int64_t group = (first + done) / kGroup, begin = (first + done) % kGroup;
    const int64_t end = std::min(kGroup, begin + count - done);
    for (int64_t b = 0; b < blocks; ++b) {
      const uint8_t* block = w.data() + (group * blocks + b) * Q::kBytes;
      const uint8_t* factors = block + Q::kBytes - (Q::kHasMin ? 4 : 2) * kGroup;
      const int64_t inputs = std::min(kWeightBlock, w.in() - b * kWeightBlock);
      HWY_ALIGN float scale[kGroup], min[kGroup], row[kWeightBlock];
      for (int64_t o = 0; o < kGroup; o += kLanes) {
        Store(LoadHalf(factors + 2 * o), scale + o, Whole());
        Store(Q::kHasMin ? LoadHalf(factors + 2 * (kGroup + o)) : Splat(0.0f), min + o, Whole());
      }
      for (int64_t o = begin; o < end; ++o) {
        Q::DecodeOne(block, o, scale[o], min[o], row);
        T* row_to = to + (done + o - begin) * w.in() + b * kWeightBlock;
        ForEachVector(inputs, [&](size_t i, auto size) HWY_ATTR { Store(Load(row + i, Whole()), row_to + i, size); });
      }
    }
    done += end - begin;
  }
}

void ReadRows(const WeightMatrix& w, int64_t first, int64_t count, void* to, bool bf16) {
  WithElementType(bf16, [&](auto type) HWY_ATTR {
    auto* rows = static_cast<decltype(type)*>(to);
    if (w.kind() == WeightKind::kQ8) {
      UnpackBlocks<Q8>(w, first, count, rows);
    } else if (w.kind() == WeightKind::kQ4) {
      UnpackBlocks<Q4>(w, first, count, rows);
    } else if (w.packed()) {
      UnpackRows(w, first, count, rows);
    } else {
      WithElementType(w.kind() == WeightKind::kBf16, [&](auto w_type) HWY_ATTR {
        const auto* from = reinterpret_cast<const decltype(w_type)*>(w.data()) + first * w.in();
        ForEachVector(count * w.in(),
                      [&](size_t i, auto size) HWY_ATTR { Store(Load(from + i, size), rows + i, size); });
      });
    }
  });
}

bool IsAvx3() {
  return HWY_TARGET <= HWY_AVX3;
}

// y of outputs first .. first + count, from row `row` on.
void Finish(const LinearProduct& product, int64_t row, int64_t row_count, int64_t first, int64_t count,
            const float* sums) {
  const int64_t out = product.w->out();
  WithElementType(product.y_bf16, [&](auto type) HWY_ATTR {
    for (int64_t r = 0; r < row_count; ++r) {
      auto* to = static_cast<decltype(type)*>(product.y) + (row + r) * out + first;
      ForEachVector(count, [&](size_t i, auto size) HWY_ATTR {
        FloatV value = Load(sums + r * kGroup + i, Whole());
        if (product.bias != nullptr) value = hn::Add(value, Load(product.bias + first + i, size));
        if (product.activation == LinearActivation::kTanh) value = Tanh(value);
        if (product.activation == LinearActivation::kSigmoid) value = Sigmoid(value);
        if (product.add) value = hn::Add(Load(to + i, size), value);
        Store(value, to + i, size);
      });
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(PadRows);
HWY_EXPORT(Q8Group);
HWY_EXPORT(Q4Group);
HWY_EXPORT(PackedGroup);
HWY_EXPORT(DenseGroup);
HWY_EXPORT(ReadRows);
HWY_EXPORT(Finish);
HWY_EXPORT(IsAvx3);

namespace {

int64_t NoBytes(const PreparedRows&) {
  return 0;
}
int64_t PaddedBytes(const PreparedRows& x) {
  return x.rows * Blocks(x.in) * (kWeightBlock + 1) * sizeof(float);
}
void Pad(const PreparedRows& x, int64_t first, int64_t last, void* prepared) {
  HWY_DYNAMIC_DISPATCH(PadRows)(x, first, last, prepared);
}
void MultiplyQ8(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  HWY_DYNAMIC_DISPATCH(Q8Group)(w, x, group, sums);
}
void MultiplyQ4(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  HWY_DYNAMIC_DISPATCH(Q4Group)(w, x, group, sums);
}
void MultiplyPacked(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  HWY_DYNAMIC_DISPATCH(PackedGroup)(w, x, group, sums);
}
void MultiplyDense(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums) {
  HWY_DYNAMIC_DISPATCH(DenseGroup)(w, x, group, sums);
}

}  // namespace

LinearKernel PortableKernel(const WeightMatrix& w) {
  if (w.kind() == WeightKind::kQ8) return {MultiplyQ8, PaddedBytes, Pad};
  if (w.kind() == WeightKind::kQ4) return {MultiplyQ4, PaddedBytes, Pad};
  return {w.packed() ? MultiplyPacked : MultiplyDense, NoBytes, nullptr};
}

LinearKernel ChooseKernel(const WeightMatrix& w, bool x_bf16) {
  // Where a test asks for another instruction set than the processor's best, the kernels beyond Highway are not it.
  // (hwy::SupportedTargets asks the processor each time, which takes long in a virtual machine.)
  if (HWY_DYNAMIC_DISPATCH(IsAvx3)()) {
    if (IsQuantized(w.kind()) && ByteProductsAvailable()) return ByteProductKernel(w.kind(), x_bf16);
    if (w.kind() == WeightKind::kBf16 && x_bf16 && Bf16ProductsAvailable()) return Bf16ProductKernel();
  }
  return PortableKernel(w);
}

void WeightMatrix::Read(int64_t first, int64_t count, void* w, bool bf16) const {
  RADLADS_CHECK(first >= 0 && count >= 0 && first + count <= out_)
      << "rows " << first << " to " << first + count << " of " << out_;
  const int64_t row_bytes = in_ * (bf16 ? 2 : 4);
  ParallelFor(count, 1 + (1 << 14) / (in_ + 1), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ReadRows)
    (*this, first + begin, end - begin, static_cast<uint8_t*>(w) + begin * row_bytes, bf16);
  });
}

void FinishProduct(const LinearProduct& product, int64_t row, int64_t row_count, int64_t first, int64_t count,
                   const float* sums) {
  HWY_DYNAMIC_DISPATCH(Finish)(product, row, row_count, first, count, sums);
}

}  // namespace radlads
#endif  // HWY_ONCE
