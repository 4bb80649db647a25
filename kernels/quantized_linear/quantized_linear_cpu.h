// The kernels of QuantizedLinear: outputs in groups of 32, up to 64 rows of x at a time, sums in fp32.
//
// Packed weights are laid out so that a vector holds inputs of 16 or 32 outputs side by side: sums run along the
// inputs without a sum over lanes, and each block of 32 inputs is scaled once. The matrix is group after group, a group
// block after block, so that a product reads it front to back. A block of a group, all little-endian:
//
//   Q8  uint8 code[8][32][4], fp16 scale[32]                  1088 bytes    code[j][o][c] + 128: input 4 j + c
//   Q4  uint8 codes[4][32][4], fp16 scale[32], fp16 min[32]    640 bytes    codes[j][o][c]: input 8 j + c in the low
//                                                                           half, input 8 j + 4 + c in the high one
// Packed fp32 weights are group after group, too, and a group input after input: float w[in][32].
// Outputs and inputs beyond the last are weights of zero.
#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_CPU_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_CPU_H_

#include <cstddef>
#include <cstdint>

#include "kernels/quantized_linear/quantized_linear.h"

namespace radlads {

inline constexpr int64_t kGroup = 32;  // outputs
inline constexpr int64_t kMaxRows = 64;
inline constexpr int64_t kPackedQ8 = kWeightBlock * kGroup + 2 * kGroup;
inline constexpr int64_t kPackedQ4 = kWeightBlock * kGroup / 2 + 4 * kGroup;
inline int64_t PackedBlockBytes(WeightKind kind) {
  return kind == WeightKind::kQ8 ? kPackedQ8 : kPackedQ4;
}
inline int64_t Blocks(int64_t in) {
  return (in + kWeightBlock - 1) / kWeightBlock;
}

// At most kMaxRows rows of x [rows, in], and the form of them that a kernel reads, if it has one of its own.
struct PreparedRows {
  int64_t rows, in;
  const void* x;
  bool x_bf16;
  void* prepared;
};

struct LinearKernel {
  // Sums of outputs kGroup * group .. of each row -> sums [rows, kGroup]; those beyond the last output are undefined.
  void (*multiply)(const WeightMatrix& w, const PreparedRows& x, int64_t group, float* sums);
  // Bytes of the kernel's own form of x, which begins at a multiple of 64; 0: it has none.
  int64_t (*prepared_bytes)(const PreparedRows& x);
  // Makes blocks first .. last - 1 of that form, of all rows.
  void (*prepare)(const PreparedRows& x, int64_t first, int64_t last, void* prepared);
};

// For any processor, by Highway.
LinearKernel PortableKernel(const WeightMatrix& w);
// The one that QuantizedLinear takes.
LinearKernel ChooseKernel(const WeightMatrix& w, bool x_bf16);

// Outputs first .. first + count - 1 of a group and rows row .. row + row_count - 1 of y, of their sums [row_count,
// kGroup]: with bias, activation and what y had, as the product asks.
void FinishProduct(const LinearProduct& product, int64_t row, int64_t row_count, int64_t first, int64_t count,
                   const float* sums);

// QuantizedLinear with `kernel`; as QuantizedLinears, in quantized_linear_products.cc.
void MultiplyWith(const LinearKernel& kernel, const WeightMatrix& w, const LinearRows& rows);

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_CPU_H_
