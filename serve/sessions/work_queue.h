// A thread that does what is handed to it, in order.
#ifndef RADLADS_SERVE_SESSIONS_WORK_QUEUE_H_
#define RADLADS_SERVE_SESSIONS_WORK_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace radlads {

// Push is thread-safe and never waits for work.
template <typename Item>
class WorkQueue {
 public:
  // `work` gets all that was pushed since its last call; and nothing, at least once an `interval`, when it is idle.
  WorkQueue(std::function<void(std::vector<Item> items)> work, std::chrono::milliseconds interval)
      : work_(std::move(work)), interval_(interval), thread_([this] { Run(); }) {}
  // Does what was pushed.
  ~WorkQueue() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    pushed_.notify_one();
    thread_.join();
  }

  void Push(Item item) {
    {
      std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    pushed_.notify_one();
  }

 private:
  void Run() {
    for (;;) {
      std::vector<Item> items;
      {
        std::unique_lock lock(mutex_);
        pushed_.wait_for(lock, interval_, [&] { return closing_ || !items_.empty(); });
        if (closing_ && items_.empty()) return;
        items.swap(items_);
      }
      work_(std::move(items));
    }
  }

  const std::function<void(std::vector<Item>)> work_;
  const std::chrono::milliseconds interval_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::vector<Item> items_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_WORK_QUEUE_H_
