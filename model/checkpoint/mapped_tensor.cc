#include "model/checkpoint/mapped_tensor.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

void AdviseWholePages(const uint8_t* data, uint64_t bytes, int advice) {
  static const uintptr_t kPage = sysconf(_SC_PAGESIZE);
  const uintptr_t first = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, advice);
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
  AdviseWholePages(data, bytes, MADV_WILLNEED);  // in large reads, not page by page as they are touched
  // Out of this process; the next reader finds them in the page cache.
  auto release = [file, bytes](void* start) { AdviseWholePages(static_cast<uint8_t*>(start), bytes, MADV_DONTNEED); };
  return at::from_blob(const_cast<uint8_t*>(data), shape, release, options);
}

}  // namespace radlads
