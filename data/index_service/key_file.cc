#include "data/index_service/key_file.h"

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kMinKeyLength = 16;

}  // namespace

absl::StatusOr<std::string> ReadKeyFile(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(std::string key, ReadFile(path));
  key = key.substr(0, key.find('\n'));
  const size_t begin = key.find_first_not_of(" \t\r"), end = key.find_last_not_of(" \t\r");
  key = begin == std::string::npos ? "" : key.substr(begin, end - begin + 1);
  if (key.size() < kMinKeyLength) {
    return InvalidArgument("the key in the first line of ", path, " has ", key.size(),
                           " characters, expected at least ", kMinKeyLength, "; `openssl rand -hex 32 > ", path,
                           "` makes a good one");
  }
  return key;
}

}  // namespace radlads
