// What all programs begin with.
#ifndef RADLADS_BASE_PROGRAM_H_
#define RADLADS_BASE_PROGRAM_H_

#include "absl/status/status.h"

namespace radlads {

// For main(), before anything is printed and any path is opened. From then on
// - paths on the command line are meant from where the program was called: `bazel run` starts programs inside its own
//   tree and leaves the directory it was called from in BUILD_WORKING_DIRECTORY
//   (bazel.build/docs/user-manual#running-executables);
// - a standard input, output or error that is closed takes and gives nothing, and no file gets its descriptor;
// - a file that may not grow (ulimit -f) is an error like a full disk, and no signal that ends the process;
// - what standard output did not take, on a full disk for instance, is told when the program ends, which it then does
//   with 1, whatever main() returns.
absl::Status BeginProgram();

// For what prints as it goes: an error as soon as standard output did not take something. Flushes it.
absl::Status FlushStandardOutput();

}  // namespace radlads

#endif  // RADLADS_BASE_PROGRAM_H_
