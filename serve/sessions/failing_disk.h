// A disk that fills up when a test wants it to.
#ifndef RADLADS_SERVE_SESSIONS_FAILING_DISK_H_
#define RADLADS_SERVE_SESSIONS_FAILING_DISK_H_

#include <rocksdb/env.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace radlads {

// The system's files, to which only so many bytes more can be written: of a write that does not fit, a part is written.
class FailingDisk {
 public:
  FailingDisk();
  rocksdb::Env* env() { return env_.get(); }
  void SetRoom(int64_t bytes) { *room_ = bytes; }

 private:
  const std::shared_ptr<std::atomic<int64_t>> room_;
  const std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_FAILING_DISK_H_
