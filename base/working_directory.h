// `bazel run` starts programs inside its own tree and leaves the directory it was called from in
// BUILD_WORKING_DIRECTORY (bazel.build/docs/user-manual#running-executables). Paths on a command line are meant from there.
#ifndef RADLADS_BASE_WORKING_DIRECTORY_H_
#define RADLADS_BASE_WORKING_DIRECTORY_H_

#include "absl/status/status.h"

namespace radlads {

// For main(), before any path is opened: goes to the directory that `bazel run` was called from. Does nothing when the
// program was started otherwise.
absl::Status EnterWorkingDirectory();

}  // namespace radlads

#endif  // RADLADS_BASE_WORKING_DIRECTORY_H_
