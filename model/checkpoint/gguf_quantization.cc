#include "model/checkpoint/gguf_quantization.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <cstring>

#include "base/parallel_for.h"

namespace radlads::gguf {
namespace {

constexpr int kBlock = 32;        // elements of the simple types
constexpr int kSuperBlock = 256;  // elements of the K types

float HalfAt(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

// d, 16 bytes of nibbles: low ones are elements 0-15, high ones 16-31; likewise in the types below.
void DecodeQ4_0(const uint8_t* block, float* out) {
  const float d = HalfAt(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * ((q[i] & 15) - 8);
    out[i + 16] = d * ((q[i] >> 4) - 8);
  }
}

void DecodeQ4_1(const uint8_t* block, float* out) {
  const float d = HalfAt(block), m = HalfAt(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (q[i] & 15) + m;
    out[i + 16] = d * (q[i] >> 4) + m;
  }
}

// The fifth bit of element i is bit i of a 32-bit word.
void DecodeQ5_0(const uint8_t* block, float* out) {
  const float d = HalfAt(block);
  uint32_t high;
  std::memcpy(&high, block + 2, 4);
  const uint8_t* q = block + 6;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (static_cast<int>((q[i] & 15) | ((high >> i & 1) << 4)) - 16);
    out[i + 16] = d * (static_cast<int>((q[i] >> 4) | ((high >> (i + 16) & 1) << 4)) - 16);
  }
}

void DecodeQ5_1(const uint8_t* block, float* out) {
  const float d = HalfAt(block), m = HalfAt(block + 2);
  uint32_t high;
  std::memcpy(&high, block + 4, 4);
  const uint8_t* q = block + 8;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<int>((q[i] & 15) | ((high >> i & 1) << 4)) + m;
    out[i + 16] = d * static_cast<int>((q[i] >> 4) | ((high >> (i + 16) & 1) << 4)) + m;
  }
}

void DecodeQ8_0(const uint8_t* block, float* out) {
  const float d = HalfAt(block);
  for (int i = 0; i < kBlock; ++i) out[i] = d * static_cast<int8_t>(block[2 + i]);
}

// Scale and minimum of sub-block j (of 8), 6 bits each, packed into 12 bytes.
void ScaleAndMin(const uint8_t* packed, int j, int& scale, int& min) {
  if (j < 4) {
    scale = packed[j] & 63;
    min = packed[j + 4] & 63;
  } else {
    scale = (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4);
    min = (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4);
  }
}

// d, dmin, scales[12], nibbles[128]: sub-blocks 2p and 2p+1 are the low and high nibbles of the p-th 32 bytes.
void DecodeQ4_K(const uint8_t* block, float* out) {
  const float d = HalfAt(block), dmin = HalfAt(block + 2);
  const uint8_t* q = block + 16;
  for (int j = 0; j < 8; ++j) {
    int scale, min;
    ScaleAndMin(block + 4, j, scale, min);
    const float step = d * scale, offset = dmin * min;
    for (int i = 0; i < 32; ++i) {
      const int nibble = q[j / 2 * 32 + i] >> (j % 2 * 4) & 15;
      out[j * 32 + i] = step * nibble - offset;
    }
  }
}

// As Q4_K, with the fifth bits in 32 bytes before the nibbles: bit j of byte i belongs to element i of sub-block j.
void DecodeQ5_K(const uint8_t* block, float* out) {
  const float d = HalfAt(block), dmin = HalfAt(block + 2);
  const uint8_t *high = block + 16, *q = block + 48;
  for (int j = 0; j < 8; ++j) {
    int scale, min;
    ScaleAndMin(block + 4, j, scale, min);
    const float step = d * scale, offset = dmin * min;
    for (int i = 0; i < 32; ++i) {
      const int value = (q[j / 2 * 32 + i] >> (j % 2 * 4) & 15) | ((high[i] >> j & 1) << 4);
      out[j * 32 + i] = step * value - offset;
    }
  }
}

// low[128], high[64], int8 scales[16], d. Each half of 128 elements takes 64 low bytes and 32 high bytes; quarter k
// of it is a nibble of low byte 32*(k%2)+i and bits 2k, 2k+1 of high byte i.
void DecodeQ6_K(const uint8_t* block, float* out) {
  const float d = HalfAt(block + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = block + half * 64, *high = block + 128 + half * 32;
    for (int k = 0; k < 4; ++k) {
      for (int i = 0; i < 32; ++i) {
        const int element = half * 128 + k * 32 + i;
        const int value = ((low[k % 2 * 32 + i] >> (k / 2 * 4) & 15) | ((high[i] >> (2 * k) & 3) << 4)) - 32;
        const float step = d * static_cast<int8_t>(block[192 + element / 16]);
        out[element] = step * value;
      }
    }
  }
}

using enum at::ScalarType;

constexpr TensorType kTypes[] = {
    {0, "F32", 1, 4, Float, nullptr},
    {1, "F16", 1, 2, Half, nullptr},
    {2, "Q4_0", kBlock, 18, Undefined, DecodeQ4_0},
    {3, "Q4_1", kBlock, 20, Undefined, DecodeQ4_1},
    {6, "Q5_0", kBlock, 22, Undefined, DecodeQ5_0},
    {7, "Q5_1", kBlock, 24, Undefined, DecodeQ5_1},
    {8, "Q8_0", kBlock, 34, Undefined, DecodeQ8_0},
    {9, "Q8_1", kBlock, 40, Undefined, nullptr},
    {10, "Q2_K", kSuperBlock, 84, Undefined, nullptr},
    {11, "Q3_K", kSuperBlock, 110, Undefined, nullptr},
    {12, "Q4_K", kSuperBlock, 144, Undefined, DecodeQ4_K},
    {13, "Q5_K", kSuperBlock, 176, Undefined, DecodeQ5_K},
    {14, "Q6_K", kSuperBlock, 210, Undefined, DecodeQ6_K},
    {15, "Q8_K", kSuperBlock, 292, Undefined, nullptr},
    {16, "IQ2_XXS", kSuperBlock, 66, Undefined, nullptr},
    {17, "IQ2_XS", kSuperBlock, 74, Undefined, nullptr},
    {18, "IQ3_XXS", kSuperBlock, 98, Undefined, nullptr},
    {19, "IQ1_S", kSuperBlock, 50, Undefined, nullptr},
    {20, "IQ4_NL", kBlock, 18, Undefined, nullptr},
    {21, "IQ3_S", kSuperBlock, 110, Undefined, nullptr},
    {22, "IQ2_S", kSuperBlock, 82, Undefined, nullptr},
    {23, "IQ4_XS", kSuperBlock, 136, Undefined, nullptr},
    {24, "I8", 1, 1, Char, nullptr},
    {25, "I16", 1, 2, Short, nullptr},
    {26, "I32", 1, 4, Int, nullptr},
    {27, "I64", 1, 8, Long, nullptr},
    {28, "F64", 1, 8, Double, nullptr},
    {29, "IQ1_M", kSuperBlock, 56, Undefined, nullptr},
    {30, "BF16", 1, 2, BFloat16, nullptr},
    {34, "TQ1_0", kSuperBlock, 54, Undefined, nullptr},
    {35, "TQ2_0", kSuperBlock, 66, Undefined, nullptr},
    {39, "MXFP4", kBlock, 17, Undefined, nullptr},
};

}  // namespace

const TensorType* FindTensorType(uint32_t id) {
  auto found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TensorType& type) { return type.id == id; });
  return found == std::end(kTypes) ? nullptr : found;
}

const TensorType* FindTensorType(std::string_view name) {
  auto found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TensorType& type) { return type.name == name; });
  return found == std::end(kTypes) ? nullptr : found;
}

std::string ReadableTypes() {
  std::string names;
  for (const TensorType& type : kTypes) {
    if (IsReadable(type)) names += (names.empty() ? "" : ", ") + std::string(type.name);
  }
  return names;
}

std::optional<WeightKind> BlockKind(const TensorType& type) {
  if (type.name == "Q8_0") return WeightKind::kQ8;
  if (type.name == "Q4_1" || type.name == "Q4_0") return WeightKind::kQ4;
  return std::nullopt;
}

void Dequantize(const TensorType& type, const uint8_t* data, int64_t blocks, float* out) {
  ParallelFor(blocks, 4096, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) type.decode(data + i * type.bytes, out + i * type.block);
  });
}

}  // namespace radlads::gguf
