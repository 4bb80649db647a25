#include "serve/transport/request_work.h"

#include <malloc.h>
#include <sys/resource.h>

#include <utility>

#include "base/memory.h"
#include "base/status.h"

namespace radlads {
namespace {

// Beside a thread of the model the scheduler gives it a tenth of a core, and all of one that is free.
constexpr int kNiceness = 10;

}  // namespace

RequestWork::RequestWork(int64_t memory, std::chrono::milliseconds patience)
    : memory_(memory > 0 ? memory : MemoryLimit() / 8, patience), thread_([this] { RunLargeOnes(); }) {}

RequestWork::~RequestWork() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  came_.notify_one();
  thread_.join();
}

absl::Status RequestWork::Run(size_t bytes, const std::function<void()>& work, IfFull if_full) {
  if (bytes < kLarge) {
    work();
    return absl::OkStatus();
  }
  std::packaged_task<void()> task(work);
  std::future<void> done = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (if_full == IfFull::kRefuse && waiting_.size() >= kWaiting) {
      return absl::UnavailableError(Concatenate(kWaiting, " large requests wait to be read; try again later"));
    }
    waiting_.push_back(std::move(task));
  }
  came_.notify_one();
  done.get();
  return absl::OkStatus();
}

void RequestWork::RunLargeOnes() {
  ::setpriority(PRIO_PROCESS, 0, kNiceness);  // of this thread only
  std::unique_lock lock(mutex_);
  while (true) {
    came_.wait(lock, [this] { return !waiting_.empty() || over_; });
    if (waiting_.empty()) return;
    std::packaged_task<void()> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task();
    malloc_trim(0);
    lock.lock();
  }
}

}  // namespace radlads
