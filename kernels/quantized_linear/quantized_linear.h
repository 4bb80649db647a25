// y = x W^T + bias with weights for inference: of few rows of x, as in decoding, reading W once is what takes the time;
// of many, the arithmetic. W is stored as fp32, bf16, Q8 or Q4.
//
// Q8 and Q4 are quantised in blocks of 32 inputs of one output, in the layout of ggml's Q8_0 and Q4_1
// (https://github.com/ggml-org/ggml, src/ggml-common.h), little-endian:
//
//   Q8  fp16 scale | int8 code[32]                       34 bytes    w = scale * code
//   Q4  fp16 scale | fp16 min | uint8 nibbles[16]        20 bytes    w = scale * code + min, 0 <= code <= 15
//       byte i holds the code of input i in its low half and that of input i + 16 in its high half
//
// A row of `in` inputs takes ceil(in / 32) blocks; what a last, partial block holds beyond the inputs is not read.
// Both products are exact in fp32, and the sum with the min is rounded once: that is the value of a weight here.
// ggml's Q4_0, w = scale * (code - 8), is Q4 with min = -8 * scale: see Q4FromQ4_0.
//
// Exactness. The sum of a row has a fixed order that depends on `in` and the form of the matrix alone: not on how many
// rows there are, not on the number of threads. So one row by itself and the same row among 64 give the same bits. Sums
// are taken in fp32. Activations are never rounded to 8 bits. x in fp32 or bf16 enters
//   - fp32 and bf16 weights as it is. Where both are bf16 and the processor multiplies pairs of bf16 (AVX-512
//     BF16), products are exact and numbers below 2^-126 count as zero.
//   - Q8 and Q4 weights on processors that multiply bytes (AVX-512 VNNI) in fixed point, so that the sum over a block
//   is
//     an exact integer: each 32 inputs as integers times a power of two, of 24 bits for fp32 and 16 bits for bf16. The
//     error of an input is at most 1.01 * 2^-23 (bf16: 1.01 * 2^-15) of the largest of the 32, and none at all for
//     a bf16 within a factor of 64 of that one. Numbers below 2^-100 may count as zero.
//   - Q8 and Q4 weights on other processors as it is, in fp32.
// Different instruction sets may differ in the last bits.
//
// NaN and infinity in x reach the outputs of their own row only, which are then NaN or infinite; in W, those of their
// own output only.
#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace radlads {

enum class WeightKind { kFp32, kBf16, kQ8, kQ4 };

// "fp32", "bf16", "q8", "q4".
std::string_view WeightKindName(WeightKind kind);
inline bool IsQuantized(WeightKind kind) {
  return kind == WeightKind::kQ8 || kind == WeightKind::kQ4;
}

inline constexpr int64_t kWeightBlock = 32;  // inputs that share a scale

// Bytes of a block of Q8 (34) or Q4 (20), and of a row of `in` inputs in any kind.
int64_t BlockBytes(WeightKind kind);
int64_t RowBytes(WeightKind kind, int64_t in);

// w [rows, in] -> blocks [rows, RowBytes] of kind Q8 or Q4. Q8: scale = max |w| / 127. Q4: min and max of the block are
// the ends. Scale and min are rounded to fp16 (the scale up, where the codes would otherwise not reach the largest
// weight), and the codes are the nearest for what they are then. INVALID_ARGUMENT names row and column of a weight
// that is not finite, or so large that fp16 cannot hold the scale or the min (Q8: 8.3e6, Q4: 65504). On all threads.
absl::Status Quantize(WeightKind kind, const float* w, int64_t rows, int64_t in, uint8_t* blocks);

// The weights that blocks [rows, RowBytes] stand for. On all threads.
void Dequantize(WeightKind kind, const uint8_t* blocks, int64_t rows, int64_t in, float* w);

// Blocks of ggml's Q4_0 (fp16 scale, 16 nibbles) as Q4. -8 * scale is exact in fp16 but where it overflows:
// INVALID_ARGUMENT when a scale is above 8188 or not finite, which no trained model comes near.
absl::Status Q4FromQ4_0(const uint8_t* q4_0, int64_t blocks, uint8_t* q4);

// W [out, in], ready for products. Immutable, thread-safe, cheap to copy.
class WeightMatrix {
 public:
  // Row-major fp32 or bf16 memory of the caller's, which must outlive the matrix.
  static WeightMatrix Borrow(WeightKind kind, int64_t out, int64_t in, const void* weights);
  // Blocks [out, RowBytes] of kind Q8 or Q4, copied into the order that products read.
  static WeightMatrix Pack(WeightKind kind, int64_t out, int64_t in, const uint8_t* blocks);
  // Row-major fp32 weights, copied likewise.
  static WeightMatrix Pack(int64_t out, int64_t in, const float* weights);

  WeightKind kind() const { return kind_; }
  bool packed() const { return packed_; }
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  // What a product reads: RowBytes * out, and for a packed matrix the padding of out to a multiple of 32.
  int64_t bytes() const { return bytes_; }
  const uint8_t* data() const { return data_.get(); }

  // Rows `first` .. `first + count` as numbers, fp32 or bf16 (rounded), [count, in] at `w`.
  void Read(int64_t first, int64_t count, void* w, bool bf16) const;

 private:
  WeightMatrix(WeightKind kind, bool packed, int64_t out, int64_t in, int64_t bytes,
               std::shared_ptr<const uint8_t> data)
      : kind_(kind), packed_(packed), out_(out), in_(in), bytes_(bytes), data_(std::move(data)) {}
  WeightKind kind_;
  bool packed_;
  int64_t out_, in_, bytes_;
  std::shared_ptr<const uint8_t> data_;
};

// x [rows, in] and y [rows, out], contiguous, fp32 or bf16 each.
struct LinearRows {
  int64_t rows;
  const void* x;
  bool x_bf16;
  void* y;
  bool y_bf16;
  const float* bias = nullptr;  // [out], added in fp32 before y is rounded
};

// Any number of rows, on all threads. W is read once for each 64 of them. y must not overlap x.
void QuantizedLinear(const WeightMatrix& w, const LinearRows& rows);

enum class LinearActivation { kNone, kTanh, kSigmoid };

// One of several products of as many rows, arrays as in LinearRows.
struct LinearProduct {
  const WeightMatrix* w;
  const void* x;
  void* y;
  bool y_bf16;
  const float* bias = nullptr;
  LinearActivation activation = LinearActivation::kNone;  // y = activation(x W^T + bias)
  bool add = false;                                       // to the y that is there, in fp32
};
// In one loop. No y may overlap an x. What products of one x need of it is made once.
void QuantizedLinears(std::span<const LinearProduct> products, int64_t rows, bool x_bf16);

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_H_
