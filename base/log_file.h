// A file that grows by a record now and then for as long as a program runs: metrics, events, answers.
#ifndef RADLADS_BASE_LOG_FILE_H_
#define RADLADS_BASE_LOG_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// Not thread-safe. Errors as of FileError (base/file.h).
class LogFile {
 public:
  // Keeps the first `size` bytes of the file, which is created when it is not there, and drops the rest. DATA_LOSS
  // when it is shorter.
  static absl::StatusOr<std::unique_ptr<LogFile>> Open(const std::string& path, uint64_t size);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Adds bytes at the end. The operating system has them all when OK is returned; on a full disk the file stays as it
  // was before, and a later call may succeed. Only a machine or process that dies can leave a part.
  absl::Status Append(std::string_view record);
  const std::string& path() const { return path_; }

 private:
  LogFile(std::string path, int descriptor, uint64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}
  const std::string path_;
  const int descriptor_;
  uint64_t size_;
};

}  // namespace radlads

#endif  // RADLADS_BASE_LOG_FILE_H_
