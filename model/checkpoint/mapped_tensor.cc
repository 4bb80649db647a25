#include "model/checkpoint/mapped_tensor.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

// Takes the whole pages of a mapped, read-only range out of the process; the next reader finds them in the page cache.
void ReleasePages(const uint8_t* data, uint64_t bytes) {
  static const uintptr_t kPage = sysconf(_SC_PAGESIZE);
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

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
  auto release = [file, bytes](void* start) { ReleasePages(static_cast<uint8_t*>(start), bytes); };
  return at::from_blob(const_cast<uint8_t*>(data), shape, release, options);
}

}  // namespace radlads
