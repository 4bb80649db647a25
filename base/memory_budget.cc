#include "base/memory_budget.h"

#include <utility>

#include "base/memory.h"
#include "base/status.h"

namespace radlads {

MemoryBudget::Part::Part(Part&& other) noexcept : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}

MemoryBudget::Part& MemoryBudget::Part::operator=(Part&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(bytes_, other.bytes_);
  other.ShrinkTo(0);
  return *this;
}

absl::Status MemoryBudget::Part::Take(int64_t bytes) {
  RADLADS_CHECK(bytes >= 0) << bytes;
  MemoryBudget& budget = *budget_;
  if (bytes > budget.bytes_ - bytes_) {
    return absl::OutOfRangeError(Concatenate("this may take ", SpellBytes(bytes_ + bytes), " of memory, and there are ",
                                             SpellBytes(budget.bytes_),
                                             " for all requests together; send less at once"));
  }
  std::unique_lock lock(budget.mutex_);
  if (!budget.given_back_.wait_for(lock, budget.patience_, [&] { return bytes <= budget.bytes_ - budget.taken_; })) {
    return absl::UnavailableError(Concatenate("this may take ", SpellBytes(bytes), " of memory, and of the ",
                                              SpellBytes(budget.bytes_), " for all requests together ",
                                              SpellBytes(budget.bytes_ - budget.taken_), " are free; try again later"));
  }
  budget.taken_ += bytes;
  bytes_ += bytes;
  return absl::OkStatus();
}

void MemoryBudget::Part::ShrinkTo(int64_t bytes) {
  if (bytes >= bytes_) return;
  {
    const std::lock_guard lock(budget_->mutex_);
    budget_->taken_ -= bytes_ - bytes;
  }
  bytes_ = bytes;
  budget_->given_back_.notify_all();
}

int64_t MemoryBudget::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

}  // namespace radlads
