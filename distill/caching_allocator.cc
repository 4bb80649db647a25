#include "distill/caching_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <bit>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace radlads {
namespace {

constexpr size_t kSmallest = 128 << 10;
constexpr size_t kHugePage = 2 << 20;

// Eight classes between powers of two: at most an eighth is wasted.
size_t ClassOf(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

size_t RoundUp(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class CachingAllocator final : public c10::Allocator {
 public:
  explicit CachingAllocator(c10::Allocator* small) : small_(small) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < kSmallest) return small_->allocate(bytes);
    const size_t size = ClassOf(bytes);
    void* block = Take(size);
    if (block == nullptr) block = Map(size);
    const std::lock_guard lock(mutex_);
    sizes_[block] = size;
    used_ += size;
    return {block, block, &Return, c10::Device(c10::DeviceType::CPU)};
  }

  // oneDNN's scratch memory comes and goes as bare pointers.
  c10::DeleterFnPtr raw_deleter() const override { return &Return; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

  void Release() {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) ::munmap(block, RoundUp(size, kHugePage));
    }
    free_.clear();
    kept_ = 0;
  }

  CachedMemory Statistics() {
    const std::lock_guard lock(mutex_);
    return {static_cast<int64_t>(used_), static_cast<int64_t>(kept_)};
  }

 private:
  static void Return(void* block);

  void* Take(size_t size) {
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(size);
    if (found == free_.end() || found->second.empty()) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    kept_ -= size;
    return block;
  }

  void* Map(size_t size) {
    // One huge page more than needed, so that a block can begin at the border of one; the rest is given back.
    const size_t length = RoundUp(size, kHugePage), asked = length + kHugePage;
    void* mapped = ::mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK(mapped != MAP_FAILED, "out of memory: cannot map ", size, " bytes for a tensor");
    const auto begin = reinterpret_cast<uintptr_t>(mapped), aligned = RoundUp(begin, kHugePage);
    if (aligned > begin) ::munmap(mapped, aligned - begin);
    const size_t tail = begin + asked - (aligned + length);
    if (tail > 0) ::munmap(reinterpret_cast<void*>(aligned + length), tail);
    void* block = reinterpret_cast<void*>(aligned);
    ::madvise(block, RoundUp(size, 4096) / kHugePage * kHugePage, MADV_HUGEPAGE);  // a hint: works without
    return block;
  }

  c10::Allocator* const small_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> sizes_;              // of living blocks
  std::unordered_map<size_t, std::vector<void*>> free_;  // by class
  size_t used_ = 0, kept_ = 0;
};

// Lives as long as the process: tensors may die after main().
CachingAllocator* g_allocator = nullptr;

void CachingAllocator::Return(void* block) {
  {
    const std::lock_guard lock(g_allocator->mutex_);
    const auto found = g_allocator->sizes_.find(block);
    if (found != g_allocator->sizes_.end()) {
      const size_t size = found->second;
      g_allocator->sizes_.erase(found);
      g_allocator->free_[size].push_back(block);
      g_allocator->used_ -= size;
      g_allocator->kept_ += size;
      return;
    }
  }
  g_allocator->small_->raw_deallocate(block);
}

}  // namespace

void InstallCachingAllocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    g_allocator = new CachingAllocator(c10::GetCPUAllocator());
    c10::SetCPUAllocator(g_allocator, /*priority=*/100);
  });
}

void ReleaseCachedMemory() {
  if (g_allocator != nullptr) g_allocator->Release();
}

CachedMemory GetCachedMemory() {
  return g_allocator == nullptr ? CachedMemory() : g_allocator->Statistics();
}

}  // namespace radlads
