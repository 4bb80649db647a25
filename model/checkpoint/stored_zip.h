// The directory of a ZIP archive whose entries are stored as they are (PKWARE APPNOTE 6.3, ZIP64 included).
#ifndef RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_
#define RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_

#include <cstdint>
#include <map>
#include <string>

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

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_STORED_ZIP_H_
