// What requests make a server do before their texts begin: decompress, parse, fill templates, find tokens. Clients
// choose how much that is; here it gets bounds of memory, and stays out of the way of texts that go on.
#ifndef RADLADS_SERVE_TRANSPORT_REQUEST_WORK_H_
#define RADLADS_SERVE_TRANSPORT_REQUEST_WORK_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "base/memory_budget.h"

namespace radlads {

// Thread-safe.
class RequestWork {
 public:
  static constexpr size_t kLarge = 1 << 20;  // bytes
  static constexpr size_t kWaiting = 16;     // large ones
  // For each byte of a text: copies of it in messages, the template and the rendered chat, and a token for each byte as
  // int32_t and int64_t in vectors that grow.
  static constexpr int64_t kMemoryPerTextByte = 32;

  // `memory`: bytes for all requests together; 0: an eighth of MemoryLimit(). `patience`: that of MemoryBudget.
  explicit RequestWork(int64_t memory = 0, std::chrono::milliseconds patience = std::chrono::seconds(10));
  ~RequestWork();

  // Runs `work` for a request of `bytes`, and returns when it is done: on this thread at once, if it is less than
  // kLarge; otherwise on a thread of low priority, one after the other, and what was freed then goes back to the
  // system. What `work` throws comes out of here. UNAVAILABLE, without running it, where kWaiting others wait, unless
  // this one is to wait behind however many.
  enum class IfFull { kRefuse, kWait };
  absl::Status Run(size_t bytes, const std::function<void()>& work, IfFull if_full = IfFull::kRefuse);

  // For what requests become in memory.
  MemoryBudget& memory() { return memory_; }

 private:
  void RunLargeOnes();

  MemoryBudget memory_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<std::packaged_task<void()>> waiting_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_REQUEST_WORK_H_
