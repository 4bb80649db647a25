#include "model/checkpoint/mapped_tensor.h"

#include <ATen/ATen.h>

#include <cstring>

#include "base/status.h"

namespace radlads {

at::Tensor MappedTensor(const std::shared_ptr<const MappedFile>& file, uint64_t offset, const std::vector<int64_t>& shape,
                        at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype);
  uint64_t bytes = c10::elementSize(dtype);
  for (int64_t size : shape) bytes *= size;
  if (bytes == 0) return at::empty(shape, options);
  RADLADS_CHECK(offset + bytes <= file->bytes().size()) << "tensor outside of " << file->path();
  const uint8_t* data = file->bytes().data() + offset;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(dtype) != 0) {
    at::Tensor copy = at::empty(shape, options);
    std::memcpy(copy.data_ptr(), data, bytes);
    return copy;
  }
  return at::from_blob(const_cast<uint8_t*>(data), shape, [file](void*) {}, options);
}

}  // namespace radlads
