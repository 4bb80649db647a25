#include "base/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

absl::Status StandardOutputError(int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(Concatenate("cannot write standard output: ", std::strerror(error),
                                                    "; make room where it goes and run the same command again"));
  }
  return absl::UnavailableError(
      Concatenate("cannot write standard output: ", error != 0 ? std::strerror(error) : "not all of it was taken",
                  "; see where it goes and run the same command again"));
}

// As gnulib's closeout: whether all was taken is known only when the rest is flushed and the descriptor closed.
void CloseStandardOutput() {
  absl::Status status = FlushStandardOutput();
  if (::close(STDOUT_FILENO) != 0 && errno != EBADF) status.Update(StandardOutputError(errno));
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  ::_exit(1);
}

}  // namespace

absl::Status FlushStandardOutput() {
  errno = 0;
  if (std::fflush(stdout) != 0) return StandardOutputError(errno);  // std::cout is stdout too
  if (std::ferror(stdout) == 0) return absl::OkStatus();
  // The C library remembers that an earlier write failed, not why.
  struct stat file;
  struct statvfs disk;
  const bool full = ::fstat(STDOUT_FILENO, &file) == 0 && S_ISREG(file.st_mode) &&
                    ::fstatvfs(STDOUT_FILENO, &disk) == 0 && disk.f_bavail == 0;
  return StandardOutputError(full ? ENOSPC : 0);
}

absl::Status BeginProgram() {
  // A descriptor that is closed would be that of the next file opened, and what is printed a part of it. One that can
  // only be read (written, for standard input) lets what uses it fail instead.
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(standard, F_GETFD) >= 0) continue;
    const int opened = ::open("/dev/null", standard == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != standard) return FailedPrecondition("cannot open /dev/null in place of descriptor ", standard);
  }
  std::signal(SIGXFSZ, SIG_IGN);
  std::atexit(CloseStandardOutput);
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr || ::chdir(directory) == 0) return absl::OkStatus();
  return NotFound("cannot go to the directory that bazel run was called from, ", directory, ": ", std::strerror(errno));
}

}  // namespace radlads
