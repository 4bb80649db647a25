#include "kernels/quantized_linear/quantized_linear_x86.h"

#include "base/instructions.h"
#include "base/status.h"

// clang has no such pragmas.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

// After all headers, so that no inline function of theirs is compiled for a processor that may not be there.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,f16c,fma")
// GCC 12 takes the undefined operands of its own intrinsics for a mistake of ours (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#define RADLADS_INLINE inline __attribute__((always_inline))
#define RADLADS_UNROLL _Pragma("GCC unroll 32")

namespace radlads {
namespace {

// Bytes of the matrix from where it is read to where it is fetched into L2, where the products take longer than the
// memory does. Where they do not, the processor's own prefetcher does better alone.
constexpr int64_t kAhead = 12 * 1024;

// A block of a row of x: sum of digit[d][i] * 256^(kDigits - 1 - d) * scale is x[i].
template <int kDigits>
struct FixedBlock {
  int8_t digit[kDigits][kWeightBlock];
  int32_t offset[kDigits];  // what the products of codes without their sign begin with: -middle * sum of the digits
  float scale;
  float sum;  // of x
};

RADLADS_INLINE __m512 LoadHalf(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}

RADLADS_INLINE __m512i Broadcast(const int8_t* four) {
  int32_t bits;
  std::memcpy(&bits, four, sizeof(bits));
  return _mm512_set1_epi32(bits);
}

// A cache line, read when its turn comes: the prefetcher follows lines in their order and not the one that a compiler
// makes up of operands.
RADLADS_INLINE __m512i LoadLine(const uint8_t* p) {
  __m512i line = _mm512_load_si512(p);
  asm volatile("" : "+v"(line));
  return line;
}

struct Q8 {
  static constexpr int64_t kBytes = kPackedQ8;
  static constexpr bool kHasMin = false;
  static constexpr int kMiddle = 128;
  // code[h][j] is inputs 4 j .. 4 j + 3 of outputs 16 h .. 16 h + 15.
  static RADLADS_INLINE void Load(const uint8_t* block, __m512i (&code)[2][8]) {
    RADLADS_UNROLL
    for (int j = 0; j < 8; ++j) {
      code[0][j] = LoadLine(block + 128 * j);
      code[1][j] = LoadLine(block + 128 * j + 64);
    }
  }
};
struct Q4 {
  static constexpr int64_t kBytes = kPackedQ4;
  static constexpr bool kHasMin = true;
  static constexpr int kMiddle = 8;
  static RADLADS_INLINE void Load(const uint8_t* block, __m512i (&code)[2][8]) {
    const __m512i low = _mm512_set1_epi8(15);
    RADLADS_UNROLL
    for (int j = 0; j < 4; ++j) {
      RADLADS_UNROLL
      for (int h = 0; h < 2; ++h) {
        const __m512i both = LoadLine(block + 128 * j + 64 * h);
        code[h][2 * j] = _mm512_and_si512(both, low);
        code[h][2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
      }
    }
  }
};

// Sums of products with each digit, as one number. A sum of 32 products of a byte and a digit fits in 21 bits.
template <int kDigits>
RADLADS_INLINE __m512 Join(const __m512i (&sum)[kDigits]) {
  if constexpr (kDigits == 2) {
    return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(sum[0], 8), sum[1]));
  } else {
    const __m512 radix = _mm512_set1_ps(256);
    const __m512 high = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[0]), radix, _mm512_cvtepi32_ps(sum[1]));
    return _mm512_fmadd_ps(high, radix, _mm512_cvtepi32_ps(sum[2]));
  }
}

template <class Q, int kDigits>
void ByteProductGroup(const WeightMatrix& w, const PreparedRows& p, int64_t group, float* sums) {
  const int64_t blocks = Blocks(p.in), rows = p.rows;
  const auto* x = static_cast<const FixedBlock<kDigits>*>(p.prepared);
  const uint8_t* block = w.data() + group * blocks * Q::kBytes;
  const bool ahead = rows * kDigits * 256 > Q::kBytes;
  std::fill(sums, sums + rows * kGroup, 0.0f);
  for (int64_t b = 0; b < blocks; ++b, block += Q::kBytes) {
    if (ahead) {
      for (int64_t line = 0; line < Q::kBytes; line += 64) _mm_prefetch(block + kAhead + line, _MM_HINT_T1);
    }
    __m512i code[2][8];
    Q::Load(block, code);
    const uint8_t* factors = block + Q::kBytes - (Q::kHasMin ? 4 : 2) * kGroup;
    alignas(64) float scale[2][16], middle[2][16];
    for (int h = 0; h < 2; ++h) {
      const __m512 s = LoadHalf(factors + kGroup * h);
      _mm512_store_ps(scale[h], s);
      if constexpr (Q::kHasMin) {
        _mm512_store_ps(middle[h],
                        _mm512_fmadd_ps(s, _mm512_set1_ps(Q::kMiddle), LoadHalf(factors + 2 * kGroup + kGroup * h)));
      }
    }
    for (int64_t r = 0; r < rows; ++r, ++x) {
      __m512i sum[2][kDigits];
      RADLADS_UNROLL
      for (int d = 0; d < kDigits; ++d) {
        sum[0][d] = sum[1][d] = _mm512_set1_epi32(x->offset[d]);
        RADLADS_UNROLL
        for (int j = 0; j < 8; ++j) {
          const __m512i digits = Broadcast(x->digit[d] + 4 * j);
          sum[0][d] = _mm512_dpbusd_epi32(sum[0][d], code[0][j], digits);
          sum[1][d] = _mm512_dpbusd_epi32(sum[1][d], code[1][j], digits);
        }
      }
      RADLADS_UNROLL
      for (int h = 0; h < 2; ++h) {
        float* to = sums + r * kGroup + 16 * h;
        const __m512 product = _mm512_mul_ps(Join<kDigits>(sum[h]), _mm512_set1_ps(x->scale));
        __m512 total = _mm512_fmadd_ps(product, _mm512_load_ps(scale[h]), _mm512_load_ps(to));
        if constexpr (Q::kHasMin) total = _mm512_fmadd_ps(_mm512_load_ps(middle[h]), _mm512_set1_ps(x->sum), total);
        _mm512_store_ps(to, total);
      }
    }
  }
}

template <int kDigits>
int64_t FixedBytes(const PreparedRows& p) {
  return p.rows * Blocks(p.in) * sizeof(FixedBlock<kDigits>);
}

// The first `count` of 16 elements, the others 0.
RADLADS_INLINE __m512 LoadElements(const void* x, bool bf16, int64_t first, int64_t count) {
  const __mmask16 mask = count >= 16 ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1;
  if (!bf16) return _mm512_maskz_loadu_ps(mask, static_cast<const float*>(x) + first);
  const __m256i bits = _mm256_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(x) + first);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

template <int kDigits>
RADLADS_INLINE void MakeFixed(const void* x, bool bf16, int64_t first, int64_t count, int middle,
                              FixedBlock<kDigits>& block) {
  __m512 value[2];
  __m512 largest = _mm512_setzero_ps();
  __mmask16 odd = 0;  // NaN and infinity, which maximum and minimum may drop
  for (int h = 0; h < 2; ++h) {
    value[h] = LoadElements(x, bf16, first + 16 * h, count - 16 * h);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(value[h]));
    odd |= _mm512_fpclass_ps_mask(value[h], 0x99);  // quiet and signalling NaN, both infinities
  }
  if (odd != 0) {
    std::memset(&block, 0, sizeof(block));
    block.scale = block.sum = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  // The most that digits of -128 .. 127 can hold is a little less than half of their range: the exponent is that of a
  // little more than the largest.
  const float bound = std::max(_mm512_reduce_max_ps(largest), 0x1p-100f) * (1 + 0x1p-7f);
  const int exponent = static_cast<int>(std::bit_cast<uint32_t>(bound) >> 23) - 127;  // bound < 2^(exponent + 1)
  const int step = exponent + 2 - 8 * kDigits;
  block.scale = std::bit_cast<float>(static_cast<uint32_t>(step + 127) << 23);
  const __m512 inverse = _mm512_castsi512_ps(_mm512_set1_epi32((127 - step) << 23));
  __m512i sum = _mm512_setzero_si512(), digit_sum[kDigits];
  RADLADS_UNROLL
  for (int d = 0; d < kDigits; ++d) digit_sum[d] = _mm512_setzero_si512();
  for (int h = 0; h < 2; ++h) {
    __m512i rest = _mm512_cvtps_epi32(_mm512_mul_ps(value[h], inverse));
    sum = _mm512_add_epi32(sum, rest);
    RADLADS_UNROLL
    for (int d = kDigits - 1; d >= 0; --d) {
      const __m128i digits = _mm512_cvtepi32_epi8(rest);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(block.digit[d] + 16 * h), digits);
      digit_sum[d] = _mm512_add_epi32(digit_sum[d], _mm512_cvtepi8_epi32(digits));
      rest = _mm512_srai_epi32(_mm512_add_epi32(rest, _mm512_set1_epi32(128)), 8);
    }
  }
  RADLADS_UNROLL
  for (int d = 0; d < kDigits; ++d) block.offset[d] = -middle * _mm512_reduce_add_epi32(digit_sum[d]);
  block.sum = static_cast<float>(_mm512_reduce_add_epi32(sum)) * block.scale;
}

// [blocks][rows]: a product reads all rows of a block.
template <class Q, int kDigits>
void MakeFixedRows(const PreparedRows& p, int64_t first, int64_t last, void* prepared) {
  auto* to = static_cast<FixedBlock<kDigits>*>(prepared);
  const int64_t row_bytes = p.in * (p.x_bf16 ? 2 : 4);
  for (int64_t b = first; b < last; ++b) {
    for (int64_t r = 0; r < p.rows; ++r) {
      MakeFixed<kDigits>(static_cast<const uint8_t*>(p.x) + r * row_bytes, p.x_bf16, b * kWeightBlock,
                         p.in - b * kWeightBlock, Q::kMiddle, to[b * p.rows + r]);
    }
  }
}

// Row-major weights; a vector runs along the inputs. Adds products of 32 of them, or of those in `mask`.
template <bool kWhole>
RADLADS_INLINE __m512bh LoadPairs(const uint16_t* p, __mmask32 mask) {
  return reinterpret_cast<__m512bh>(kWhole ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(mask, p));
}
template <bool kWhole, int kRows, int kOutputs>
RADLADS_INLINE void AddPairs(const uint16_t* w, const uint16_t* x, int64_t in, __mmask32 mask,
                             __m512 (&sum)[kRows][kOutputs]) {
  __m512bh w_i[kOutputs];
  RADLADS_UNROLL
  for (int o = 0; o < kOutputs; ++o) w_i[o] = LoadPairs<kWhole>(w + o * in, mask);
  RADLADS_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const __m512bh x_i = LoadPairs<kWhole>(x + r * in, mask);
    RADLADS_UNROLL
    for (int o = 0; o < kOutputs; ++o) sum[r][o] = _mm512_dpbf16_ps(sum[r][o], w_i[o], x_i);
  }
}

// The sums over the lanes of four vectors.
RADLADS_INLINE __m128 SumLanes(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// The rows that follow in the matrix are fetched into L2 meanwhile, if so asked.
template <int kRows, int kOutputs, bool kFetch>
void Bf16Tile(const uint16_t* w, const uint16_t* x, int64_t in, float* sums) {
  __m512 sum[kRows][kOutputs];
  RADLADS_UNROLL
  for (int r = 0; r < kRows; ++r) {
    RADLADS_UNROLL
    for (int o = 0; o < kOutputs; ++o) sum[r][o] = _mm512_setzero_ps();
  }
  int64_t i = 0;
  for (; i + 32 <= in; i += 32) {
    if constexpr (kFetch) {
      RADLADS_UNROLL
      for (int o = 0; o < kOutputs; ++o) _mm_prefetch(w + (kOutputs + o) * in + i, _MM_HINT_T1);
    }
    AddPairs<true>(w + i, x + i, in, 0, sum);
  }
  if (i < in) AddPairs<false>(w + i, x + i, in, (__mmask32{1} << (in - i)) - 1, sum);
  static_assert(kOutputs == 1 || kOutputs == 4);
  RADLADS_UNROLL
  for (int r = 0; r < kRows; ++r) {
    if constexpr (kOutputs == 4) {
      _mm_storeu_ps(sums + r * kGroup, SumLanes(sum[r][0], sum[r][1], sum[r][2], sum[r][3]));
    } else {
      sums[r * kGroup] = _mm_cvtss_f32(SumLanes(sum[r][0], sum[r][0], sum[r][0], sum[r][0]));
    }
  }
}

// All rows with kOutputs outputs, kTall rows at a time.
template <int kTall, int kOutputs>
void Bf16Rows(const uint16_t* w, const PreparedRows& p, float* sums) {
  const auto* x = static_cast<const uint16_t*>(p.x);
  const auto tile = [&](auto multiply, int64_t row) { multiply(w, x + row * p.in, p.in, sums + row * kGroup); };
  int64_t row = 0;
  if (p.rows >= kTall) tile(Bf16Tile<kTall, kOutputs, (kOutputs > 1)>, 0), row = kTall;
  for (; row + kTall <= p.rows; row += kTall) tile(Bf16Tile<kTall, kOutputs, false>, row);
  for (; row < p.rows; ++row) tile(Bf16Tile<1, kOutputs, false>, row);
}

void Bf16Group(const WeightMatrix& matrix, const PreparedRows& p, int64_t group, float* sums) {
  const auto* w = reinterpret_cast<const uint16_t*>(matrix.data());
  const int64_t first = group * kGroup, last = std::min(first + kGroup, matrix.out());
  int64_t o = first;
  // Few rows take what the memory gives, most when it is read front to back: output by output.
  for (; o + 4 <= last && p.rows >= 4; o += 4) Bf16Rows<4, 4>(w + o * p.in, p, sums + o - first);
  for (; o < last; ++o) {
    const auto output = p.rows == 2 ? Bf16Rows<2, 1> : Bf16Rows<3, 1>;
    output(w + o * p.in, p, sums + o - first);
  }
}

int64_t NoBytes(const PreparedRows&) {
  return 0;
}

}  // namespace
}  // namespace radlads
#pragma GCC pop_options

namespace radlads {
namespace {

template <class Q>
LinearKernel ByteProductKernelOf(bool x_bf16) {
  if (x_bf16) return {ByteProductGroup<Q, 2>, FixedBytes<2>, MakeFixedRows<Q, 2>};
  return {ByteProductGroup<Q, 3>, FixedBytes<3>, MakeFixedRows<Q, 3>};
}

}  // namespace

bool ByteProductsAvailable() {
  return HasAvx512Vnni();
}

LinearKernel ByteProductKernel(WeightKind kind, bool x_bf16) {
  return kind == WeightKind::kQ8 ? ByteProductKernelOf<Q8>(x_bf16) : ByteProductKernelOf<Q4>(x_bf16);
}

bool Bf16ProductsAvailable() {
  return HasAvx512Bf16();
}

LinearKernel Bf16ProductKernel() {
  return {Bf16Group, NoBytes, nullptr};
}

}  // namespace radlads

#else

namespace radlads {

bool ByteProductsAvailable() {
  return false;
}
LinearKernel ByteProductKernel(WeightKind, bool) {
  RADLADS_CHECK(false) << "no byte products on this processor";
  return {};
}
bool Bf16ProductsAvailable() {
  return false;
}
LinearKernel Bf16ProductKernel() {
  RADLADS_CHECK(false) << "no bf16 products on this processor";
  return {};
}

}  // namespace radlads

#endif
