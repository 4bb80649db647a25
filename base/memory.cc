#include "base/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace radlads {
namespace {

int64_t PageSize() {
  return ::sysconf(_SC_PAGESIZE);
}

}  // namespace

int64_t MemoryLimit(const std::string& root) {
  int64_t limit = ::sysconf(_SC_PHYS_PAGES) * PageSize();
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit own{};
    if (::getrlimit(resource, &own) == 0 && own.rlim_cur < static_cast<rlim_t>(limit)) limit = own.rlim_cur;
  }
  const std::filesystem::path at(root), mount = at / "sys/fs/cgroup";
  std::ifstream groups(at / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::/")) continue;  // of cgroup v1
    // Up to the mount itself, which in a container is the container's group.
    for (std::filesystem::path group = mount / line.substr(4);; group = group.parent_path()) {
      int64_t bytes = 0;
      // "max" is no number: no limit.
      if (std::ifstream(group / "memory.max") >> bytes) limit = std::min(limit, bytes);
      if (group == mount || !group.has_relative_path()) break;
    }
  }
  return limit;
}

int64_t MemoryInUse() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * PageSize();
}

std::string SpellBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double amount = static_cast<double>(bytes);
  size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < std::size(kUnits); ++unit) amount /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", amount, kUnits[unit]);
  return text;
}

}  // namespace radlads
