// Named tensors in a file or a set of files, whatever the format.
#ifndef RADLADS_MODEL_CHECKPOINT_TENSOR_SOURCE_H_
#define RADLADS_MODEL_CHECKPOINT_TENSOR_SOURCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/quantized_linear/quantized_linear.h"

namespace radlads {

struct TensorInfo {
  std::string name;
  std::string dtype;           // the file's own name for it: F32, BF16, Q4_1, ...
  std::vector<int64_t> shape;  // outermost first, as torch has it, in every format
  uint64_t bytes = 0;          // in the file
  std::string file;            // path
  // Q8 or Q4, when ReadBlocks gives the tensor in blocks of that kind.
  std::optional<WeightKind> blocks;
};

// Immutable and safe to share between threads. The files stay mapped for as long as the source or one of the
// tensors read from it lives; they must not be rewritten in place meanwhile (replacing them by rename is fine).
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // In file order.
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  virtual bool Has(std::string_view name) const = 0;

  // F32, F16, BF16, F64, booleans and integers: a view of the mapped file, which the tensor keeps alive. It is
  // READ-ONLY memory: writing to it kills the process; clone() first. (What lies unaligned in the file is copied.)
  // Quantised types: dequantised to a new fp32 tensor, exactly.
  // NOT_FOUND for an unknown name, UNIMPLEMENTED for a type that torch does not have.
  virtual absl::StatusOr<at::Tensor> Read(const std::string& name) const = 0;

  // Rows [first, first + count) of the first dimension of what Read gives, in the memory of these rows alone, so that a
  // tensor of any size can be read piece by piece. A tensor without dimensions is one row.
  virtual absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const;

  // The blocks of a tensor [N,C] whose info says that it has some, uint8 [N, C/32, 34 or 20] in the layout of
  // kernels/quantized_linear; read-only as Read. They stand for exactly what Read gives. NOT_FOUND for a tensor without.
  virtual absl::StatusOr<at::Tensor> ReadBlocks(const std::string& name) const;
  // The blocks of rows [first, first + count), as ReadRows.
  virtual absl::StatusOr<at::Tensor> ReadBlockRows(const std::string& name, int64_t first, int64_t count) const;
};

// Opens a .safetensors file, a .pth file, a GGUF file (names as in that file; see gguf.h for Hugging Face names), all
// recognised by content, a .index.json (shards.h), or a directory that holds model.safetensors, pytorch_model.bin or the
// index of one of the two.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenTensors(const std::string& path);

// Those rows of a tensor that is there as a whole.
at::Tensor RowsOf(const at::Tensor& tensor, int64_t first, int64_t count);

// "[576,1536]", for messages.
std::string ShapeString(const std::vector<int64_t>& shape);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_TENSOR_SOURCE_H_
