// The types of safetensors, for its reader and writer.
#ifndef RADLADS_MODEL_CHECKPOINT_SAFETENSORS_FORMAT_H_
#define RADLADS_MODEL_CHECKPOINT_SAFETENSORS_FORMAT_H_

#include <ATen/core/Tensor.h>

#include <span>
#include <string_view>

namespace radlads::safetensors {

struct Type {
  std::string_view name;
  int bits;              // of one element of the file's shape
  at::ScalarType dtype;  // ScalarType::Undefined: torch has none
};

std::span<const Type> Types();
const Type* FindType(std::string_view name);
const Type* FindType(at::ScalarType dtype);

// F4 counts single elements of 4 bits, torch's Float4_e2m1fn_x2 pairs of them along the last dimension.
inline bool IsPacked(const Type& type) { return type.bits == 4; }

}  // namespace radlads::safetensors

#endif  // RADLADS_MODEL_CHECKPOINT_SAFETENSORS_FORMAT_H_
