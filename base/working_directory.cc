#include "base/working_directory.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/status.h"

namespace radlads {

absl::Status EnterWorkingDirectory() {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr || ::chdir(directory) == 0) return absl::OkStatus();
  return NotFound("cannot go to the directory that bazel run was called from, ", directory, ": ", std::strerror(errno));
}

}  // namespace radlads
