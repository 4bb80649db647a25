#include "base/log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/status.h"

namespace radlads {

absl::StatusOr<std::unique_ptr<LogFile>> LogFile::Open(const std::string& path, uint64_t size) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return FileError("create", path, errno);
  std::unique_ptr<LogFile> file(new LogFile(path, descriptor, size));
  const off_t end = ::lseek(descriptor, 0, SEEK_END);
  if (end < 0) return FileError("seek in", path, errno);
  if (static_cast<uint64_t>(end) < size) return DataLoss(path, " has ", end, " bytes, expected at least ", size);
  if (::ftruncate(descriptor, size) != 0) return FileError("cut", path, errno);
  return file;
}

LogFile::~LogFile() {
  ::close(descriptor_);
}

absl::Status LogFile::Append(std::string_view record) {
  for (size_t done = 0; done < record.size();) {
    const ssize_t written = ::pwrite(descriptor_, record.data() + done, record.size() - done, size_ + done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const absl::Status status = FileError("write", path_, errno, record.size() - done);
      if (::ftruncate(descriptor_, size_) != 0) return FileError("cut what was written in part off", path_, errno);
      return status;
    }
    done += written;
  }
  size_ += record.size();
  return absl::OkStatus();
}

}  // namespace radlads
