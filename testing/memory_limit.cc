#include "testing/memory_limit.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <new>

#include "base/status.h"

namespace radlads {

bool CanLimitMemory() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

std::string RunWithin(int64_t bytes, const std::function<absl::Status()>& work) {
  int ends[2];
  RADLADS_CHECK(::pipe(ends) == 0);
  const pid_t child = ::fork();
  RADLADS_CHECK(child >= 0);
  if (child == 0) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto most = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + bytes);
    const rlimit limit{.rlim_cur = most, .rlim_max = most};
    if (CanLimitMemory()) RADLADS_CHECK(::setrlimit(RLIMIT_AS, &limit) == 0);
    std::string said;
    try {
      said = work().ToString();
    } catch (const std::bad_alloc&) {
      said = "out of memory";
    }
    const ssize_t written = ::write(ends[1], said.data(), std::min<size_t>(said.size(), 60'000));
    ::_exit(written < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t got; (got = ::read(ends[0], buffer, sizeof(buffer))) > 0;) said.append(buffer, got);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return Concatenate("ended by signal ", WTERMSIG(status));
  return said;
}

}  // namespace radlads
