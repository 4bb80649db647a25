#include <ATen/ATen.h>

#include "base/status.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

// Enough for views of a mapped file: pages that are not looked at take no memory.
absl::StatusOr<at::Tensor> TensorSource::ReadRows(const std::string& name, int64_t first, int64_t count) const {
  RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, Read(name));
  return RowsOf(tensor, first, count);
}

absl::StatusOr<at::Tensor> TensorSource::ReadBlockRows(const std::string& name, int64_t first, int64_t count) const {
  RADLADS_ASSIGN_OR_RETURN(const at::Tensor blocks, ReadBlocks(name));
  return RowsOf(blocks, first, count);
}

at::Tensor RowsOf(const at::Tensor& tensor, int64_t first, int64_t count) {
  return tensor.dim() == 0 ? tensor : tensor.narrow(0, first, count);
}

absl::StatusOr<at::Tensor> TensorSource::ReadBlocks(const std::string& name) const {
  return NotFound("there are no quantised blocks of ", name);
}

std::string ShapeString(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? "," : "") + std::to_string(size);
  return text + "]";
}

}  // namespace radlads
