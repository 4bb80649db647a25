// How much memory there is.
#ifndef RADLADS_BASE_MEMORY_H_
#define RADLADS_BASE_MEMORY_H_

#include <cstdint>
#include <string>

namespace radlads {

// Bytes that this process may have: those of the machine, of its own limits (ulimit -v, -d), or the least `memory.max`
// of its control group and the groups around it (cgroup v2, mounted at sys/fs/cgroup), as a container or a systemd unit
// sets it. `root`: where proc/ and sys/ are.
int64_t MemoryLimit(const std::string& root = "/");

// Bytes that this process has now (resident).
int64_t MemoryInUse();

// "1.5 GiB", for people.
std::string SpellBytes(int64_t bytes);

}  // namespace radlads

#endif  // RADLADS_BASE_MEMORY_H_
