#include "base/status.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

absl::StatusOr<at::Tensor> TensorSource::ReadBlocks(const std::string& name) const {
  return NotFound("there are no quantised blocks of ", name);
}

std::string ShapeString(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? "," : "") + std::to_string(size);
  return text + "]";
}

}  // namespace radlads
