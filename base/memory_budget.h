// Memory that many share: what one takes is reserved before it is allocated, and given back.
#ifndef RADLADS_BASE_MEMORY_BUDGET_H_
#define RADLADS_BASE_MEMORY_BUDGET_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/status/status.h"

namespace radlads {

// Thread-safe. Allocates nothing itself.
class MemoryBudget {
 public:
  // `bytes`: for all parts together. `patience`: how long a part waits for others to give back.
  explicit MemoryBudget(int64_t bytes, std::chrono::milliseconds patience = std::chrono::seconds(10))
      : bytes_(bytes), patience_(patience) {}

  // What one holder has of a budget, which must outlive it. Goes back when the part is destroyed. One thread at a time.
  class Part {
   public:
    explicit Part(MemoryBudget& budget) : budget_(&budget) {}
    Part(Part&& other) noexcept;
    Part& operator=(Part&& other) noexcept;
    ~Part() { ShrinkTo(0); }

    // So many bytes more; waits until there is room. OUT_OF_RANGE, at once, for what would be more than the whole
    // budget; UNAVAILABLE where no room came. The part is unchanged then.
    absl::Status Take(int64_t bytes);
    // Gives back what is beyond `bytes`.
    void ShrinkTo(int64_t bytes);
    int64_t bytes() const { return bytes_; }

   private:
    MemoryBudget* budget_;
    int64_t bytes_ = 0;
  };

  int64_t bytes() const { return bytes_; }
  int64_t taken() const;  // by all parts

 private:
  const int64_t bytes_;
  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;
  std::condition_variable given_back_;
  int64_t taken_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_BASE_MEMORY_BUDGET_H_
