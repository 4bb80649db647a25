// Files: whole reads, memory maps, and writes that appear complete or not at all.
//
// Errors carry the path and the operating system's reason. Nothing here is buffered behind the caller's back:
// when Commit() returns OK the bytes are on the disk (fsync) under the final name (rename). What a full disk, quota or
// limit refuses is RESOURCE_EXHAUSTED, of every function here; what was there before stays, and no part is left.
#ifndef RADLADS_BASE_FILE_H_
#define RADLADS_BASE_FILE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// What the operating system says of a file: FileError("write", "a/b", ENOSPC, 4096) is "cannot write a/b: No space left
// on device (4096 bytes wanted, 0 free); make room and run the same command again", RESOURCE_EXHAUSTED. NOT_FOUND where
// nothing is of that name, PERMISSION_DENIED where the file may not be touched, UNAVAILABLE for all else. `error` is an
// errno, `bytes_wanted` what a write had left to do (0: it was no write). A temporary name of AtomicFile or
// WriteDirectoryAtomically is called as what it would have become.
absl::Status FileError(const std::string& what, const std::string& path, int error, uint64_t bytes_wanted = 0);

// The whole file. NOT_FOUND if it does not exist.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes `contents` aside and renames it to `path`: readers see the old file or the new one, never a part.
absl::Status WriteFileAtomically(const std::string& path, std::string_view contents);

// A file that is mapped read-only for the lifetime of this object. Safe to share between threads.
// An empty file maps to an empty span.
class MappedFile {
 public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const uint8_t* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const uint8_t* data_;
  size_t size_;
};

// Sequential writer to a file that stays where it is, for work that is continued after an interruption. What was
// appended is sure to be on the disk only when Sync() has returned OK. After a failed Append every later call returns
// the same error.
class AppendFile {
 public:
  // Keeps the first `size` bytes of the file, which is created when it is not there, and drops the rest. DATA_LOSS
  // when it is shorter.
  static absl::StatusOr<std::unique_ptr<AppendFile>> Open(const std::string& path, uint64_t size);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  absl::Status Append(const void* data, size_t size);
  absl::Status Append(std::string_view text) { return Append(text.data(), text.size()); }
  absl::Status Sync();
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, int descriptor, uint64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}
  absl::Status Flush();
  std::string path_, buffer_;
  int descriptor_;
  uint64_t size_;
  absl::Status status_;
};

// Sequential writer to a temporary name beside `path`; Commit() makes it appear, destruction without Commit()
// removes it. After a failed Append (a full disk, say) every later call returns the same error.
class AtomicFile {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  absl::Status Append(const void* data, size_t size);
  absl::Status Append(std::string_view text) { return Append(text.data(), text.size()); }
  absl::Status Commit();
  uint64_t size() const { return file_->size(); }

 private:
  AtomicFile(std::string path, std::unique_ptr<AppendFile> file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_;
  std::unique_ptr<AppendFile> file_;  // under the temporary name
  bool committed_ = false;
};

// Makes the names in the directory of `path` durable after files were created, renamed or removed there.
absl::Status SyncDirectoryOf(const std::string& path);

// Makes a directory whole or not at all: `fill` writes into a temporary directory beside `path`, which is synced
// and renamed to `path` when `fill` returns OK, and removed otherwise. An existing `path` is replaced.
absl::Status WriteDirectoryAtomically(const std::string& path,
                                      const std::function<absl::Status(const std::string& directory)>& fill);

// mkdir -p.
absl::Status MakeDirectories(const std::string& path);
bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
// "a/b" + "c" -> "a/b/c".
std::string JoinPath(std::string_view directory, std::string_view name);

// Test seam: when set, the sum of bytes that AtomicFile and AppendFile may still write before it reports a full disk.
void SetDiskSpaceForTesting(int64_t bytes_left);  // negative: no limit (the default)

}  // namespace radlads

#endif  // RADLADS_BASE_FILE_H_
