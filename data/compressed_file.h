// A file read from front to end, decompressed on the way: gzip, xz, zstd and lz4 are known by their first bytes, not by
// name; anything else is passed on as it is.
#ifndef RADLADS_DATA_COMPRESSED_FILE_H_
#define RADLADS_DATA_COMPRESSED_FILE_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// Not thread-safe. Errors name the file.
class CompressedFile {
 public:
  // "-" is standard input. Waiting for input (of a pipe) ends with CANCELLED soon after `stop` was requested.
  static absl::StatusOr<std::unique_ptr<CompressedFile>> Open(const std::string& path, std::stop_token stop = {});
  virtual ~CompressedFile() = default;

  // Up to `size` bytes (size > 0); 0 only at the end. DATA_LOSS when a compressed stream is damaged or cut off.
  virtual absl::StatusOr<size_t> Read(char* data, size_t size) = 0;
  // Passes over `bytes` bytes of the decompressed file. DATA_LOSS when it has fewer.
  virtual absl::Status Skip(uint64_t bytes);
  // Bytes of the file itself (compressed) that have been read so far: what progress is measured in.
  virtual uint64_t bytes_consumed() const = 0;
  virtual const std::string& path() const = 0;  // "standard input" for "-"
};

}  // namespace radlads

#endif  // RADLADS_DATA_COMPRESSED_FILE_H_
