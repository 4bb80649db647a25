// Work that must get by with so much memory.
#ifndef RADLADS_TESTING_MEMORY_LIMIT_H_
#define RADLADS_TESTING_MEMORY_LIMIT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace radlads {

// Whether RunWithin limits anything: not under sanitizers, which take terabytes of address space.
bool CanLimitMemory();

// Runs `work` in a child process whose address space may grow by `bytes` (RLIMIT_AS) -> what it returned, as text ("OK");
// "out of memory" for std::bad_alloc; how it ended otherwise.
std::string RunWithin(int64_t bytes, const std::function<absl::Status()>& work);

}  // namespace radlads

#endif  // RADLADS_TESTING_MEMORY_LIMIT_H_
