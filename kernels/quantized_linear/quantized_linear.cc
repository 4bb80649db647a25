#include "kernels/quantized_linear/quantized_linear.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear_cpu.h"
#include "kernels/quantized_linear/weight_memory.h"

namespace radlads {
namespace {

constexpr int64_t kRowGrain = 1 << 14;  // elements worth a thread

// fp16 -> fp32, exact. (Compilers differ in whether they have a type for it.)
float HalfAt(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
  if (exponent == 0) return std::copysign(static_cast<float>(fraction) * 0x1p-24f, std::bit_cast<float>(sign));
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// Stores x as fp16, to nearest, ties to even, and gives back what it is then.
float StoreHalf(float x, uint8_t* bytes) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), size = bits & 0x7FFFFFFF;
  uint32_t half;
  if (size > 0x7F800000) {
    half = 0x7E00;  // NaN
  } else if (size >= 0x477FF000) {
    half = 0x7C00;  // 65520 and above: infinity
  } else if (size < 0x38800000) {
    // Below 2^-14: added to 1/2, the last bit of the sum is that of a subnormal.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(size) + 0.5f) - std::bit_cast<uint32_t>(0.5f);
  } else {
    half = (size - (uint32_t{112} << 23) + 0xFFF + (size >> 13 & 1)) >> 13;
  }
  const uint16_t stored = static_cast<uint16_t>(half | (bits >> 16 & 0x8000));
  std::memcpy(bytes, &stored, sizeof(stored));
  return HalfAt(bytes);
}

// A scale: x as fp16, or the next fp16 above where `codes` steps of the nearest one would stay half a step short of
// `extent`.
float StoreScale(float x, float codes, float extent, uint8_t* bytes) {
  const float scale = StoreHalf(x, bytes);
  if (!(scale * (codes + 0.5f) < extent)) return scale;
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  ++bits;
  std::memcpy(bytes, &bits, sizeof(bits));
  return HalfAt(bytes);
}

int CodeOf(float steps, int low, int high) {
  return static_cast<int>(std::clamp<float>(std::nearbyint(steps), low, high));
}

// Codes of inputs beyond `count` are zero.
bool QuantizeQ8(const float* w, int64_t count, uint8_t* block) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(w[i]));
  const float scale = StoreScale(largest / 127, 127, largest, block);
  for (int64_t i = 0; i < kWeightBlock; ++i) {
    block[2 + i] = i < count && scale > 0 ? static_cast<uint8_t>(CodeOf(w[i] / scale, -127, 127)) : 0;
  }
  return std::isfinite(scale);
}

bool QuantizeQ4(const float* w, int64_t count, uint8_t* block) {
  const auto [least, most] = std::minmax_element(w, w + count);
  const float min = StoreHalf(*least, block + 2);
  const float scale = StoreScale((*most - *least) / 15, 15, *most - min, block);
  const auto code = [&](int64_t i) { return i < count && scale > 0 ? CodeOf((w[i] - min) / scale, 0, 15) : 0; };
  for (int64_t i = 0; i < kWeightBlock / 2; ++i) {
    block[4 + i] = static_cast<uint8_t>(code(i) | code(i + kWeightBlock / 2) << 4);
  }
  return std::isfinite(scale) && std::isfinite(min);
}

// The code of input i (of 32) of a stored block.
int CodeAt(WeightKind kind, const uint8_t* block, int64_t i) {
  if (kind == WeightKind::kQ8) return static_cast<int8_t>(block[2 + i]);
  return i < kWeightBlock / 2 ? block[4 + i] & 15 : block[4 + i - kWeightBlock / 2] >> 4;
}

float MinAt(WeightKind kind, const uint8_t* block) {
  return kind == WeightKind::kQ4 ? HalfAt(block + 2) : 0.0f;
}

// Packs the block of output o (of 32) into the block of its group. Codes beyond `count` become those of zero.
void PackBlock(WeightKind kind, const uint8_t* block, int64_t count, int64_t o, uint8_t* packed) {
  for (int64_t i = 0; i < kWeightBlock; ++i) {
    if (kind == WeightKind::kQ8) {
      packed[(i / 4 * kGroup + o) * 4 + i % 4] = static_cast<uint8_t>((i < count ? CodeAt(kind, block, i) : 0) + 128);
    } else {
      const int code = i < count ? CodeAt(kind, block, i) : 8;
      uint8_t& both = packed[(i / 8 * kGroup + o) * 4 + i % 4];
      both = static_cast<uint8_t>(i % 8 < 4 ? code : both | code << 4);
    }
  }
  uint8_t* factors = packed + PackedBlockBytes(kind) - (kind == WeightKind::kQ4 ? 4 : 2) * kGroup;
  std::memcpy(factors + 2 * o, block, 2);
  if (kind == WeightKind::kQ4) std::memcpy(factors + 2 * kGroup + 2 * o, block + 2, 2);
}

}  // namespace

std::string_view WeightKindName(WeightKind kind) {
  switch (kind) {
    case WeightKind::kFp32:
      return "fp32";
    case WeightKind::kBf16:
      return "bf16";
    case WeightKind::kQ8:
      return "q8";
    case WeightKind::kQ4:
      return "q4";
  }
  return "";
}

int64_t BlockBytes(WeightKind kind) {
  RADLADS_CHECK(IsQuantized(kind)) << WeightKindName(kind) << " has no blocks";
  return kind == WeightKind::kQ8 ? 34 : 20;
}

int64_t RowBytes(WeightKind kind, int64_t in) {
  if (kind == WeightKind::kFp32) return 4 * in;
  if (kind == WeightKind::kBf16) return 2 * in;
  return Blocks(in) * BlockBytes(kind);
}

absl::Status Quantize(WeightKind kind, const float* w, int64_t rows, int64_t in, uint8_t* blocks) {
  const int64_t bytes = BlockBytes(kind), per_row = Blocks(in);
  std::mutex mutex;
  int64_t first_bad = std::numeric_limits<int64_t>::max();  // element
  ParallelFor(rows, 1 + kRowGrain / (in + 1), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      for (int64_t b = 0; b < per_row; ++b) {
        const int64_t begin = b * kWeightBlock, count = std::min(kWeightBlock, in - begin);
        const float* from = w + row * in + begin;
        int64_t bad = 0;
        while (bad < count && std::isfinite(from[bad])) ++bad;
        uint8_t* to = blocks + (row * per_row + b) * bytes;
        if (bad == count) {
          if (kind == WeightKind::kQ8 ? QuantizeQ8(from, count, to) : QuantizeQ4(from, count, to)) continue;
          bad = std::max_element(from, from + count, [](float x, float y) { return std::abs(x) < std::abs(y); }) - from;
        }
        const std::lock_guard lock(mutex);
        first_bad = std::min(first_bad, row * in + begin + bad);
      }
    }
  });
  if (first_bad == std::numeric_limits<int64_t>::max()) return absl::OkStatus();
  return InvalidArgument("the weight at row ", first_bad / in, ", column ", first_bad % in, " is ", w[first_bad],
                         ", which ", WeightKindName(kind), " cannot hold; expected finite numbers below ",
                         kind == WeightKind::kQ8 ? "8.3e6" : "65504");
}

void Dequantize(WeightKind kind, const uint8_t* blocks, int64_t rows, int64_t in, float* w) {
  const int64_t bytes = BlockBytes(kind), per_row = Blocks(in);
  ParallelFor(rows, 1 + kRowGrain / (in + 1), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      for (int64_t i = 0; i < in; ++i) {
        const uint8_t* block = blocks + (row * per_row + i / kWeightBlock) * bytes;
        w[row * in + i] = HalfAt(block) * CodeAt(kind, block, i % kWeightBlock) + MinAt(kind, block);
      }
    }
  });
}

absl::Status Q4FromQ4_0(const uint8_t* q4_0, int64_t blocks, uint8_t* q4) {
  constexpr int64_t kQ4_0Bytes = 18;
  const int64_t bytes = BlockBytes(WeightKind::kQ4);
  for (int64_t b = 0; b < blocks; ++b) {
    const uint8_t* from = q4_0 + b * kQ4_0Bytes;
    uint8_t* to = q4 + b * bytes;
    const float scale = HalfAt(from);
    std::memcpy(to, from, 2);
    if (!std::isfinite(StoreHalf(-8 * scale, to + 2))) {
      return InvalidArgument("the scale of block ", b, " is ", scale,
                             ", too large for Q4, whose min would be -8 times that in fp16; import the tensor as fp32");
    }
    std::memcpy(to + 4, from + 2, kWeightBlock / 2);
  }
  return absl::OkStatus();
}

WeightMatrix WeightMatrix::Borrow(WeightKind kind, int64_t out, int64_t in, const void* weights) {
  RADLADS_CHECK(!IsQuantized(kind)) << "quantised weights are packed";
  const auto* bytes = static_cast<const uint8_t*>(weights);
  return {kind, /*packed=*/false, out, in, out * RowBytes(kind, in), std::shared_ptr<const uint8_t>(bytes, [](const uint8_t*) {})};
}

WeightMatrix WeightMatrix::Pack(WeightKind kind, int64_t out, int64_t in, const uint8_t* blocks) {
  const int64_t per_row = Blocks(in), groups = (out + kGroup - 1) / kGroup;
  const int64_t from_bytes = BlockBytes(kind), to_bytes = PackedBlockBytes(kind);
  const int64_t total = groups * per_row * to_bytes;
  const std::shared_ptr<uint8_t> packed = AllocateWeightMemory(total);
  const uint8_t zero[64] = {};  // a block of zeros, codes of zero included
  ParallelFor(groups, 1 + kRowGrain / (in * kGroup + 1), [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      for (int64_t b = 0; b < per_row; ++b) {
        uint8_t* to = packed.get() + (group * per_row + b) * to_bytes;
        for (int64_t o = 0; o < kGroup; ++o) {
          const int64_t row = group * kGroup + o;
          const uint8_t* from = row < out ? blocks + (row * per_row + b) * from_bytes : zero;
          PackBlock(kind, from, row < out ? std::min(kWeightBlock, in - b * kWeightBlock) : 0, o, to);
        }
      }
    }
  });
  return {kind, /*packed=*/true, out, in, total, packed};
}

WeightMatrix WeightMatrix::Pack(int64_t out, int64_t in, const float* weights) {
  constexpr int64_t kTurned = 16;  // inputs at a time: a cache line of each output
  const int64_t groups = (out + kGroup - 1) / kGroup, bytes = groups * kGroup * in * sizeof(float);
  const std::shared_ptr<uint8_t> packed = AllocateWeightMemory(bytes);
  ParallelFor(groups, 1 + kRowGrain / (in * kGroup + 1), [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      float* to = reinterpret_cast<float*>(packed.get()) + group * in * kGroup;
      for (int64_t begin = 0; begin < in; begin += kTurned) {
        for (int64_t o = 0; o < kGroup; ++o) {
          const int64_t row = group * kGroup + o;
          for (int64_t i = begin; i < std::min(begin + kTurned, in); ++i) {
            to[i * kGroup + o] = row < out ? weights[row * in + i] : 0.0f;
          }
        }
      }
    }
  });
  return {WeightKind::kFp32, /*packed=*/true, out, in, bytes, packed};
}

void QuantizedLinear(const WeightMatrix& w, const LinearRows& rows) {
  MultiplyWith(ChooseKernel(w, rows.x_bf16), w, rows);
}

}  // namespace radlads
