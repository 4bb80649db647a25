#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#if defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1  // as GCC calls it
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <regex>

#include "base/status.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWriteBufferSize = 1 << 20;
std::atomic<int64_t> g_disk_space_left{-1};

// Without the parts that TemporaryNameFor adds.
std::string WithoutTemporaryNames(const std::string& path) {
  return std::regex_replace(path, std::regex("\\.partial-[0-9]+-[0-9]+"), "");
}

std::string ParentOf(const std::string& path) {
  std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// What is known of a disk that has no room for `path`, in brackets; and what to do.
std::string NoRoom(const std::string& path, int error, uint64_t bytes_wanted) {
  std::string known = bytes_wanted > 0 ? Concatenate(bytes_wanted, " bytes wanted") : "";
  struct statvfs disk;
  if (error == ENOSPC && ::statvfs(ParentOf(path).c_str(), &disk) == 0) {
    known += Concatenate(known.empty() ? "" : ", ", static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize, " free");
    if (disk.f_files > 0 && disk.f_favail == 0) known += ", and no further files fit on this disk";
  }
  if (!known.empty()) known = " (" + known + ")";
  return known + (error == EFBIG    ? "; raise the limit on the size of files (ulimit -f) or choose another disk"
                  : error == EDQUOT ? "; make room within the quota and run the same command again"
                                    : "; make room and run the same command again");
}

absl::Status WriteAll(int descriptor, const char* data, size_t size, const std::string& path) {
  if (int64_t left = g_disk_space_left.load(); left >= 0) {
    if (static_cast<int64_t>(size) > left) return FileError("write", path, ENOSPC, size);
    g_disk_space_left -= size;
  }
  const bool is_large = size > kWriteBufferSize / 2;
  while (size > 0) {
    ssize_t written = ::write(descriptor, data, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      return FileError("write", path, errno, size);
    }
    data += written;
    size -= written;
  }
  // The disk begins now, while the caller computes what comes next. What fails is reported by fdatasync.
  if (is_large) ::sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
  return absl::OkStatus();
}

absl::Status SyncPath(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FileError("open", path, errno);
  int result = ::fsync(descriptor), error = errno;
  ::close(descriptor);
  return result == 0 ? absl::OkStatus() : FileError("sync", path, error);
}

std::string TemporaryNameFor(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return Concatenate(path, ".partial-", ::getpid(), "-", counter++);
}

// The rest of a map's last page reads as zeros. AddressSanitizer learns here that it is no part of the file.
void PoisonTail([[maybe_unused]] const uint8_t* data, [[maybe_unused]] size_t size, [[maybe_unused]] bool poison) {
#if defined(__SANITIZE_ADDRESS__)
  const size_t page = ::sysconf(_SC_PAGESIZE), tail = (page - size % page) % page;
  (poison ? __asan_poison_memory_region : __asan_unpoison_memory_region)(data + size, tail);
#endif
}

}  // namespace

absl::Status FileError(const std::string& what, const std::string& path, int error, uint64_t bytes_wanted) {
  const std::string message =
      Concatenate("cannot ", what, " ", WithoutTemporaryNames(path), ": ", std::strerror(error));
  switch (error) {
    case ENOENT: return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS: return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EFBIG:
    case EDQUOT: return absl::ResourceExhaustedError(message + NoRoom(path, error, bytes_wanted));
    default: return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FileError("open", path, errno);
  std::string contents;
  char block[1 << 16];
  while (true) {
    ssize_t got = ::read(descriptor, block, sizeof(block));
    if (got < 0) {
      if (errno == EINTR) continue;
      int error = errno;
      ::close(descriptor);
      return FileError("read", path, error);
    }
    if (got == 0) break;
    contents.append(block, got);
  }
  ::close(descriptor);
  return contents;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  RADLADS_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  RADLADS_RETURN_IF_ERROR(file->Append(contents));
  return file->Commit();
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return FileError("open", path, errno);
  struct stat info;
  if (::fstat(descriptor, &info) != 0) {
    int error = errno;
    ::close(descriptor);
    return FileError("stat", path, error);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return InvalidArgument("cannot map ", path, ": not a regular file");
  }
  size_t size = info.st_size;
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
      int error = errno;
      ::close(descriptor);
      return FileError("map", path, error);
    }
    PoisonTail(static_cast<const uint8_t*>(data), size, true);
  }
  ::close(descriptor);
  return std::shared_ptr<const MappedFile>(new MappedFile(path, static_cast<const uint8_t*>(data), size));
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  PoisonTail(data_, size_, false);
  ::munmap(const_cast<uint8_t*>(data_), size_);
}

absl::StatusOr<std::unique_ptr<AppendFile>> AppendFile::Open(const std::string& path, uint64_t size) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return FileError("create", path, errno);
  std::unique_ptr<AppendFile> file(new AppendFile(path, descriptor, size));
  const off_t end = ::lseek(descriptor, 0, SEEK_END);
  if (end < 0) return FileError("seek in", path, errno);
  if (static_cast<uint64_t>(end) < size) return DataLoss(path, " has ", end, " bytes, expected at least ", size);
  if (::ftruncate(descriptor, size) != 0) return FileError("cut", path, errno);
  if (::lseek(descriptor, size, SEEK_SET) < 0) return FileError("seek in", path, errno);
  return file;
}

AppendFile::~AppendFile() { ::close(descriptor_); }

absl::Status AppendFile::Append(const void* data, size_t size) {
  RADLADS_RETURN_IF_ERROR(status_);
  size_ += size;
  if (buffer_.size() + size > kWriteBufferSize) RADLADS_RETURN_IF_ERROR(Flush());
  if (size > kWriteBufferSize) {
    status_ = WriteAll(descriptor_, static_cast<const char*>(data), size, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), size);
  }
  return status_;
}

absl::Status AppendFile::Flush() {
  if (status_.ok()) status_ = WriteAll(descriptor_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
  return status_;
}

absl::Status AppendFile::Sync() {
  RADLADS_RETURN_IF_ERROR(Flush());
  if (::fdatasync(descriptor_) != 0) status_ = FileError("sync", path_, errno);
  return status_;
}

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto file, AppendFile::Open(TemporaryNameFor(path), 0));
  return std::unique_ptr<AtomicFile>(new AtomicFile(path, std::move(file)));
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(file_->path().c_str());
}

absl::Status AtomicFile::Append(const void* data, size_t size) {
  RADLADS_CHECK(!committed_) << "Append after Commit on " << path_;
  return file_->Append(data, size);
}

absl::Status AtomicFile::Commit() {
  RADLADS_CHECK(!committed_) << "Commit after Commit on " << path_;
  RADLADS_RETURN_IF_ERROR(file_->Sync());
  if (::rename(file_->path().c_str(), path_.c_str()) != 0) {
    return FileError("rename " + file_->path() + " to", path_, errno);
  }
  committed_ = true;
  return SyncPath(ParentOf(path_));
}

absl::Status SyncDirectoryOf(const std::string& path) { return SyncPath(ParentOf(path)); }

absl::Status WriteDirectoryAtomically(
    const std::string& name, const std::function<absl::Status(const std::string& directory)>& fill) {
  std::string path = name;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  RADLADS_RETURN_IF_ERROR(MakeDirectories(ParentOf(path)));
  const std::string temporary = TemporaryNameFor(path);
  RADLADS_RETURN_IF_ERROR(MakeDirectories(temporary));
  absl::Status status = fill(temporary);
  if (status.ok()) status = SyncPath(temporary);
  std::error_code error;
  if (!status.ok()) {
    fs::remove_all(temporary, error);
    return status;
  }
  // A directory cannot be renamed over a full one: the old one steps aside first.
  const std::string old = TemporaryNameFor(path);
  const bool existed = fs::exists(path, error);
  if (existed && ::rename(path.c_str(), old.c_str()) != 0) {
    status = FileError("rename", path, errno);
  } else if (::rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError("rename " + temporary + " to", path, errno);
    if (existed) ::rename(old.c_str(), path.c_str());
  }
  if (!status.ok()) {
    fs::remove_all(temporary, error);
    return status;
  }
  if (existed) fs::remove_all(old, error);
  return SyncPath(ParentOf(path));
}

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return FileError("make directory", path, error.value());
  return absl::OkStatus();
}

bool FileExists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool IsDirectory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  return (fs::path(directory) / fs::path(name)).string();
}

void SetDiskSpaceForTesting(int64_t bytes_left) { g_disk_space_left = bytes_left; }

}  // namespace radlads
