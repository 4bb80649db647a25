// Quantised weights in a Hugging Face directory: the tensor "<name>" in blocks is stored as "<name>.q8" or "<name>.q4".
// docs/formats/quantized.md
#ifndef RADLADS_MODEL_CHECKPOINT_QUANTIZED_H_
#define RADLADS_MODEL_CHECKPOINT_QUANTIZED_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/quantized_linear/quantized_linear.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

// The weights that can be in blocks, by their Hugging Face names: matrices that are multiplied with, the embedding
// included. Norms, biases and the low-rank matrices of RWKV stay plain.
bool CanBeQuantized(const TensorInfo& info);
// Of these, the embedding and the head: `import_checkpoint --dtype q4` gives them 8 bits.
bool IsVocabularyWeight(std::string_view name);

// The name under which a tensor is stored.
std::string StoredName(const std::string& name, WeightKind kind);
// [N, C/32, 34 or 20], the shape in which it is stored, as uint8. C is a multiple of 32.
std::vector<int64_t> StoredShape(const std::vector<int64_t>& shape, WeightKind kind);

// `source` with each stored quantised tensor shown under its own name, as dtype "Q8" or "Q4" and of its own shape; Read
// dequantises it to fp32. A source without any comes back as it is. INVALID_ARGUMENT for a uint8 tensor of such a name
// whose shape is not that of blocks, and when a tensor is there twice.
absl::StatusOr<std::unique_ptr<TensorSource>> ShowQuantized(std::unique_ptr<TensorSource> source);

// w, fp32 -> its blocks, uint8 of StoredShape. INVALID_ARGUMENT as Quantize.
absl::StatusOr<at::Tensor> QuantizeTensor(const at::Tensor& w, WeightKind kind);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_QUANTIZED_H_
