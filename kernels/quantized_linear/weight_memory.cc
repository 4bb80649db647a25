#include "kernels/quantized_linear/weight_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <mutex>

#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kHugePage = 2 << 20;
constexpr int64_t kRegion = 64 << 20;  // of address space; pages are taken as they are written
constexpr int64_t kLine = 64;

int64_t RoundUp(int64_t size, int64_t unit) {
  return (size + unit - 1) / unit * unit;
}

std::shared_ptr<uint8_t> Map(int64_t bytes) {
  const int64_t asked = bytes + kHugePage;  // so that it can begin at a huge page
  void* mapped = ::mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  RADLADS_CHECK(mapped != MAP_FAILED) << "out of memory: cannot map " << bytes << " bytes for weights";
  auto* begin = reinterpret_cast<uint8_t*>(RoundUp(reinterpret_cast<int64_t>(mapped), kHugePage));
  ::madvise(begin, bytes, MADV_HUGEPAGE);  // a hint: works without
  return {begin, [mapped, asked](uint8_t*) { ::munmap(mapped, asked); }};
}

}  // namespace

std::shared_ptr<uint8_t> AllocateWeightMemory(int64_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<uint8_t> current;
  static int64_t used = 0;
  bytes = std::max(RoundUp(bytes, kLine), kLine);
  if (bytes > kRegion / 2) return Map(RoundUp(bytes, kHugePage));
  const std::lock_guard lock(mutex);
  std::shared_ptr<uint8_t> region = current.lock();
  if (region == nullptr || used + bytes > kRegion) {
    region = Map(kRegion);
    current = region;
    used = 0;
  }
  std::shared_ptr<uint8_t> part(region, region.get() + used);
  used += bytes;
  return part;
}

}  // namespace radlads
