// Log lines on stderr through spdlog: `Log().info("read {} tensors", n)`. stdout is left to results.
//
// LibTorch defines LOG and CHECK; this header defines no macro. Thread-safe.
#ifndef RADLADS_BASE_LOGGING_H_
#define RADLADS_BASE_LOGGING_H_

#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"

namespace radlads {

// The process's logger: "[10:42:07] message" on stderr.
spdlog::logger& Log();

// For main(): prints "error: message" on stderr and returns 1, or returns 0 for an OK status.
int ExitCode(const absl::Status& status);

}  // namespace radlads

#endif  // RADLADS_BASE_LOGGING_H_
