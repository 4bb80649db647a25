// ZIP archives whose entries are stored as they are (PKWARE APPNOTE 6.3, ZIP64 included).
#ifndef RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_
#define RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file.h"

namespace radlads {

struct ZipEntry {
  uint64_t offset = 0;  // of the contents, in the file
  uint64_t size = 0;
};

// By name. Nothing is ever decompressed: a compressed or encrypted entry is INVALID_ARGUMENT, as are entries of one name,
// entries beyond the end of the file and directories that do not hold together.
absl::StatusOr<std::map<std::string, ZipEntry>> ReadStoredZip(const MappedFile& file);

// Appends an archive to a file, an entry after the other, each in as many pieces as there are. Contents begin at
// multiples of 64 bytes, as torch.save has them. Checksums follow the contents (APPNOTE 4.3.9).
class StoredZipWriter {
 public:
  // `file` must outlive the object and be empty.
  explicit StoredZipWriter(AtomicFile& file) : file_(file) {}

  // An entry of `size` bytes; all of them are appended before the next one begins.
  absl::Status Begin(const std::string& name, uint64_t size);
  absl::Status Append(const void* data, size_t size);
  // The directory. The file is not committed.
  absl::Status Finish();

 private:
  struct Entry {
    std::string name;
    uint64_t header, size;
    uint32_t checksum = 0;
  };
  absl::Status EndEntry();

  AtomicFile& file_;
  std::vector<Entry> entries_;
  uint64_t left_ = 0;  // bytes of the last entry that are still to come
};

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_
