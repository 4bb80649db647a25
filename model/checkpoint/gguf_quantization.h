// Tensor types of ggml and the decoding of its quantised blocks (ggml-common.h, ggml-quants.c; gguf-py quants.py).
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_QUANTIZATION_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_QUANTIZATION_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/quantized_linear/quantized_linear.h"

namespace radlads::gguf {

struct TensorType {
  uint32_t id;  // ggml_type
  std::string_view name;
  int64_t block;           // elements in a block, along the innermost dimension
  int64_t bytes;           // of a block
  at::ScalarType dtype;    // of plain types, else Undefined
  // Decodes one block to `block` floats; nullptr for plain types and for those that are not supported.
  void (*decode)(const uint8_t* block, float* out);
};

// nullptr for an unknown number or name.
const TensorType* FindTensorType(uint32_t id);
const TensorType* FindTensorType(std::string_view name);
inline bool IsReadable(const TensorType& type) { return type.decode != nullptr || type.dtype != at::ScalarType::Undefined; }
// "F32, F16, ..., Q6_K": what can be read.
std::string ReadableTypes();

// The blocks of kernels/quantized_linear that hold the same: Q8_0 is Q8, Q4_1 is Q4, and Q4_0 has a place in Q4.
std::optional<WeightKind> BlockKind(const TensorType& type);

// Decodes `blocks` blocks, on all threads. Every product that the formats define is exact in fp32, so the result
// does not depend on how the compiler contracts it.
void Dequantize(const TensorType& type, const uint8_t* data, int64_t blocks, float* out);

}  // namespace radlads::gguf

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_QUANTIZATION_H_
