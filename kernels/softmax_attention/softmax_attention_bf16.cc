// Attention with AVX-512 BF16 (vdpbf16ps), which Highway has no name for.
//
// Queries go in blocks of all heads that share a key head and of as many tokens as give about 48 rows; keys in blocks
// of 256. Both products are one micro-kernel, C [6, 16 * N] += A [6, 2 * pairs] B, on operands whose reduction runs in
// pairs: keys are packed [S/16][D/2][16][2], values [S/2][D][2]. The softmax runs along with the key blocks (Milakov
// and Gimelshein, 2018, arXiv 1805.02867; Dao et al., 2022, arXiv 2205.14135).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/instructions.h"
#include "base/parallel_for.h"
#include "base/status.h"
#include "hwy/aligned_allocator.h"
#include "hwy/base.h"
#include "kernels/softmax_attention/softmax_attention_cpu.h"

#if HWY_ARCH_X86
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")
namespace radlads {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kRows = 6;     // of the micro-kernel
constexpr int64_t kVectors = 4;  // of the micro-kernel, at most
constexpr int64_t kBlockRows = 48;
constexpr int64_t kBlockKeys = 256;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t DivideUp(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}
int64_t RoundUp(int64_t n, int64_t to) {
  return DivideUp(n, to) * to;
}
int64_t RoundDown(int64_t n, int64_t to) {
  return n / to * to;
}

__mmask16 FirstLanes(int64_t count) {
  return count >= kLanes ? 0xFFFF : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

// C [6, 16 * N] (rows `c_stride` apart) = (or, if `add`, +=) A B. A: rows of pairs, `a_stride` pairs apart. B: for each
// pair N vectors, `b_vector` pairs apart; from one pair to the next `b_pair` pairs.
template <int N>
void Multiply(const uint32_t* a, int64_t a_stride, const uint32_t* b, int64_t b_pair, int64_t b_vector, int64_t pairs,
              bool add, float* c, int64_t c_stride) {
  __m512 sum[kRows][N];
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < N; ++n) {
      sum[r][n] = add ? _mm512_loadu_ps(c + r * c_stride + n * kLanes) : _mm512_setzero_ps();
    }
  }
  for (int64_t p = 0; p < pairs; ++p) {
    __m512i column[N];
    for (int n = 0; n < N; ++n) column[n] = _mm512_loadu_si512(b + p * b_pair + n * b_vector);
    for (int r = 0; r < kRows; ++r) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(a[r * a_stride + p]));
      for (int n = 0; n < N; ++n) {
        sum[r][n] = _mm512_dpbf16_ps(sum[r][n], reinterpret_cast<__m512bh>(row), reinterpret_cast<__m512bh>(column[n]));
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int n = 0; n < N; ++n) _mm512_storeu_ps(c + r * c_stride + n * kLanes, sum[r][n]);
  }
}

// The same for `rows` (a multiple of 6) and any number of vectors.
void MultiplyBlock(int64_t rows, int64_t vectors, const uint32_t* a, int64_t a_stride, const uint32_t* b,
                   int64_t b_pair, int64_t b_vector, int64_t pairs, bool add, float* c, int64_t c_stride) {
  for (int64_t n = 0; n < vectors; n += kVectors) {
    const int64_t wide = std::min(kVectors, vectors - n);
    const auto multiply = wide == 4 ? Multiply<4> : wide == 3 ? Multiply<3> : wide == 2 ? Multiply<2> : Multiply<1>;
    for (int64_t r = 0; r < rows; r += kRows) {
      multiply(a + r * a_stride, a_stride, b + n * b_vector, b_pair, b_vector, pairs, add,
               c + r * c_stride + n * kLanes, c_stride);
    }
  }
}

// 16 rows of 16 pairs -> 16 rows of the pairs of one column each.
void Transpose16(__m512i x[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xDD);
  }
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    x[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    x[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

// Keys [first, first + 16), of which those beyond `keys` are 0 -> [D/2][16][2].
void PackKeys(const uint16_t* k, int64_t stride, int64_t first, int64_t keys, int64_t head_dim, uint32_t* packed) {
  for (int64_t d = 0; d < head_dim; d += 2 * kLanes) {
    const int64_t left = head_dim - d;
    const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
    __m512i rows[16];
    for (int64_t i = 0; i < kLanes; ++i) {
      rows[i] =
          first + i < keys ? _mm512_maskz_loadu_epi16(mask, k + (first + i) * stride + d) : _mm512_setzero_si512();
    }
    Transpose16(rows);
    const int64_t pairs = std::min(kLanes, DivideUp(left, 2));
    for (int64_t i = 0; i < pairs; ++i) _mm512_storeu_si512(packed + (d / 2 + i) * kLanes, rows[i]);
  }
}

// Values [first, first + 16), of which those beyond `keys` are 0 -> [8][D][2], D rounded up to 16.
void PackValues(const uint16_t* v, int64_t stride, int64_t first, int64_t keys, int64_t head_dim, uint32_t* packed) {
  const int64_t width = RoundUp(head_dim, kLanes);
  for (int64_t pair = 0; pair < kLanes / 2; ++pair) {
    const int64_t key = first + 2 * pair;
    for (int64_t d = 0; d < width; d += kLanes) {
      const __mmask16 mask = FirstLanes(head_dim - d);
      const auto load = [&](int64_t row) {
        if (row >= keys) return _mm512_setzero_si512();
        return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, v + row * stride + d));
      };
      _mm512_storeu_si512(packed + pair * width + d, _mm512_or_si512(load(key), _mm512_slli_epi32(load(key + 1), 16)));
    }
  }
}

// 2^x within 2 ulp; 0 below -150, NaN for NaN.
__m512 Exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x);  // the second operand where one is NaN
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(1.33335581e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61812911e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55041087e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40226507e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147181e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// One row of the softmax: weights of the keys [low, high) of a block of `vectors` vectors, 0 for the others.
struct RowState {
  float maximum = kMinusInfinity;  // of the scores so far, in units of the exponent of 2
  float sum = 0;                   // of the weights so far
};
// Returns what earlier results are to be multiplied with.
float Weigh(const float* scores, int64_t low, int64_t high, int64_t vectors, float scale, RowState& state,
            uint16_t* weights) {
  if (low >= high) {
    std::memset(weights, 0, vectors * kLanes * sizeof(uint16_t));
    return 1;
  }
  const int64_t begin = RoundDown(low, kLanes), end = RoundUp(high, kLanes);
  const auto mask_at = [low, high](int64_t i) {
    return static_cast<__mmask16>(FirstLanes(high - i) & ~FirstLanes(low - i));
  };
  __m512 largest = _mm512_set1_ps(kMinusInfinity);
  for (int64_t i = begin; i < end; i += kLanes) {
    largest = _mm512_mask_max_ps(largest, mask_at(i), largest, _mm512_loadu_ps(scores + i));
  }
  const float maximum = std::max(state.maximum, _mm512_reduce_max_ps(largest) * scale);
  // Where every score is -infinity there is nothing to shift by.
  const float shift = maximum == kMinusInfinity ? 0 : maximum;
  const __m512 scales = _mm512_set1_ps(scale), shifts = _mm512_set1_ps(shift);
  __m512 sum = _mm512_setzero_ps();
  std::memset(weights, 0, begin * sizeof(uint16_t));
  for (int64_t i = begin; i < end; i += kLanes) {
    const __m512 p =
        _mm512_maskz_mov_ps(mask_at(i), Exp2(_mm512_fmsub_ps(_mm512_loadu_ps(scores + i), scales, shifts)));
    sum = _mm512_add_ps(sum, p);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + i), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(p)));
  }
  std::memset(weights + end, 0, (vectors * kLanes - end) * sizeof(uint16_t));
  const float correction = std::exp2(state.maximum - shift);
  state.maximum = maximum;
  state.sum = state.sum * correction + _mm512_reduce_add_ps(sum);
  return correction;
}

// One sequence of one key head.
struct Packed {
  const uint32_t* keys;    // [S/16][D/2][16]
  const uint32_t* values;  // [S/2][D]
};
struct PackedSizes {
  explicit PackedSizes(const SoftmaxAttentionArguments& p)
      : keys(RoundUp(p.keys, kLanes) * DivideUp(p.head_dim, 2)),
        values(RoundUp(p.keys, kLanes) / 2 * RoundUp(p.head_dim, kLanes)) {}
  int64_t sequence() const { return keys + values; }
  int64_t keys, values;  // pairs
};

// Tokens [begin, end) of all query heads that share one key head.
void AttendBlock(const SoftmaxAttentionArguments& p, const Packed& packed, int64_t batch, int64_t kv_head,
                 int64_t begin, int64_t end, uint16_t* y) {
  const int64_t group = p.heads / p.kv_heads, rows = (end - begin) * group, padded_rows = RoundUp(rows, kRows);
  const int64_t q_pairs = DivideUp(p.head_dim, 2), width = RoundUp(p.head_dim, kLanes);
  const int64_t offset = p.keys - p.time;

  const auto memory = hwy::AllocateAligned<float>(padded_rows * (q_pairs + kBlockKeys + kBlockKeys / 2 + width));
  float* const scores = memory.get();
  float* const output = scores + padded_rows * kBlockKeys;
  uint32_t* const weights = reinterpret_cast<uint32_t*>(output + padded_rows * width);
  uint32_t* const q = weights + padded_rows * kBlockKeys / 2;
  const auto states = hwy::MakeUniqueAlignedArray<RowState>(padded_rows);
  std::memset(q, 0, padded_rows * q_pairs * sizeof(uint32_t));
  int64_t first_key = end + offset;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = begin + row / group;
    const uint16_t* from = static_cast<const uint16_t*>(p.q.data) + batch * p.q.batch_stride + token * p.q.time_stride +
                           (kv_head * group + row % group) * p.q.head_stride;
    std::memcpy(q + row * q_pairs, from, p.head_dim * sizeof(uint16_t));
    first_key = std::min(first_key, p.first == nullptr ? 0 : p.first[batch * p.time + token]);
  }

  const float scale = p.scale * 1.44269504088896341f;
  bool add = false;
  for (int64_t at = RoundDown(first_key, kLanes); at < end + offset; at += kBlockKeys) {
    const int64_t count = std::min(kBlockKeys, end + offset - at), vectors = DivideUp(count, kLanes);
    MultiplyBlock(padded_rows, vectors, q, q_pairs, packed.keys + at * q_pairs, kLanes, q_pairs * kLanes, q_pairs,
                  /*add=*/false, scores, kBlockKeys);
    for (int64_t row = 0; row < padded_rows; ++row) {
      const int64_t token = begin + row / group;
      const int64_t low = row < rows && p.first != nullptr ? p.first[batch * p.time + token] - at : 0;
      const int64_t high = row < rows ? token + 1 + offset - at : 0;
      const float correction =
          Weigh(scores + row * kBlockKeys, std::max<int64_t>(low, 0), std::min(high, count), vectors, scale,
                states[row], reinterpret_cast<uint16_t*>(weights + row * kBlockKeys / 2));
      if (!add || correction == 1) continue;
      float* out = output + row * width;
      const __m512 factor = _mm512_set1_ps(correction);
      for (int64_t d = 0; d < width; d += kLanes) {
        _mm512_storeu_ps(out + d, _mm512_mul_ps(factor, _mm512_loadu_ps(out + d)));
      }
    }
    MultiplyBlock(padded_rows, width / kLanes, weights, kBlockKeys / 2, packed.values + at / 2 * width, width, kLanes,
                  DivideUp(count, 2), add, output, width);
    add = true;
  }

  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = begin + row / group;
    uint16_t* to = y + ((batch * p.time + token) * p.heads + kv_head * group + row % group) * p.head_dim;
    const __m512 factor = _mm512_set1_ps(1 / states[row].sum);
    for (int64_t d = 0; d < width; d += kLanes) {
      const __m512 out = _mm512_mul_ps(factor, _mm512_loadu_ps(output + row * width + d));
      _mm256_mask_storeu_epi16(to + d, FirstLanes(p.head_dim - d), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(out)));
    }
  }
}

}  // namespace

int64_t SoftmaxAttentionBf16WorkspaceSize(const SoftmaxAttentionArguments& p) {
  return p.batch * p.kv_heads * PackedSizes(p).sequence() * sizeof(uint32_t);
}

void SoftmaxAttentionBf16Cpu(const SoftmaxAttentionArguments& p, void* workspace, void* y) {
  const PackedSizes sizes(p);
  const int64_t sequences = p.batch * p.kv_heads, key_blocks = DivideUp(p.keys, kLanes);
  const auto packed_keys = [&](int64_t sequence) {
    return static_cast<uint32_t*>(workspace) + sequence * sizes.sequence();
  };
  ParallelFor(sequences * key_blocks, 16, [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; ++item) {
      const int64_t sequence = item / key_blocks, block = item % key_blocks;
      const int64_t batch = sequence / p.kv_heads, head = sequence % p.kv_heads;
      uint32_t* const keys = packed_keys(sequence);
      const auto start = [&](const AttentionOperand& x) {
        return static_cast<const uint16_t*>(x.data) + batch * x.batch_stride + head * x.head_stride;
      };
      PackKeys(start(p.k), p.k.time_stride, block * kLanes, p.keys, p.head_dim,
               keys + block * (sizes.keys / key_blocks));
      PackValues(start(p.v), p.v.time_stride, block * kLanes, p.keys, p.head_dim,
                 keys + sizes.keys + block * (sizes.values / key_blocks));
    }
  });
  const int64_t tokens = std::max<int64_t>(1, kBlockRows / (p.heads / p.kv_heads));
  const int64_t blocks = DivideUp(p.time, tokens);
  ParallelForDynamic(sequences * blocks, [&](int64_t item) {
    const int64_t sequence = item % sequences, block = blocks - 1 - item / sequences;  // the longest first
    const uint32_t* const keys = packed_keys(sequence);
    AttendBlock(p, {keys, keys + sizes.keys}, sequence / p.kv_heads, sequence % p.kv_heads, block * tokens,
                std::min(p.time, (block + 1) * tokens), static_cast<uint16_t*>(y));
  });
}

}  // namespace radlads
HWY_POP_ATTRIBUTES

namespace radlads {

bool SoftmaxAttentionBf16Supported() {
  return HasAvx512Bf16();
}

}  // namespace radlads

#else

namespace radlads {

bool SoftmaxAttentionBf16Supported() {
  return false;
}
int64_t SoftmaxAttentionBf16WorkspaceSize(const SoftmaxAttentionArguments&) {
  return 0;
}
void SoftmaxAttentionBf16Cpu(const SoftmaxAttentionArguments&, void*, void*) {
  RADLADS_CHECK(false) << "this processor has no AVX-512 BF16";
}

}  // namespace radlads
#endif  // HWY_ARCH_X86
