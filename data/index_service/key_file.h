// The key that an index service and its clients share.
#ifndef RADLADS_DATA_INDEX_SERVICE_KEY_FILE_H_
#define RADLADS_DATA_INDEX_SERVICE_KEY_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// First line of a file, without the blanks around it. INVALID_ARGUMENT when it is shorter than 16 characters.
absl::StatusOr<std::string> ReadKeyFile(const std::string& path);

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_KEY_FILE_H_
