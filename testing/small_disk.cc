#include "testing/small_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kPage = 4096;

std::string Failed(const std::string& what, const std::string& hint) {
  return what + ": " + std::strerror(errno) + "; " + hint;
}

bool WriteTo(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  return written;
}

std::string OptionsOf(int64_t bytes) {
  return "size=" + std::to_string(bytes);
}

std::string Enter() {
  const std::string user = std::to_string(::geteuid()), group = std::to_string(::getegid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return Failed("unshare(CLONE_NEWUSER | CLONE_NEWNS)",
                  errno == EINVAL ? "the process has several threads already"
                                  : "the system allows no user namespaces here, so no small disk can be mounted");
  }
  if (!WriteTo("/proc/self/setgroups", "deny") || !WriteTo("/proc/self/uid_map", user + " " + user + " 1") ||
      !WriteTo("/proc/self/gid_map", group + " " + group + " 1")) {
    return Failed("writing /proc/self/uid_map", "the system lets nobody be themselves in a user namespace");
  }
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Failed("mount(\"/\", MS_PRIVATE)", "the system allows no mounts in a user namespace");
  }
  // A rehearsal: some systems allow the namespaces and refuse what they are for.
  std::string folder = ::testing::TempDir() + "/disk_XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return Failed(folder, "a folder for a small disk could not be made");
  const bool mounted = ::mount("tmpfs", folder.c_str(), "tmpfs", 0, OptionsOf(kPage).c_str()) == 0;
  const std::string refused =
      mounted ? "" : Failed("mount(\"tmpfs\")", "the system allows no tmpfs in a user namespace");
  if (mounted) ::umount2(folder.c_str(), MNT_DETACH);
  ::rmdir(folder.c_str());
  return refused;
}

std::string& Reason() {
  static std::string reason = "AllowSmallDisks was not called at the beginning of main";
  return reason;
}

}  // namespace

void AllowSmallDisks() {
  Reason() = Enter();
}

const std::string& WhyNoSmallDisks() {
  return Reason();
}

SmallDisk::SmallDisk(int64_t bytes) {
  static int count = 0;
  path_ = ::testing::TempDir() + "/disk" + std::to_string(++count);
  ::mkdir(path_.c_str(), 0755);
  RADLADS_CHECK(::mount("tmpfs", path_.c_str(), "tmpfs", 0, OptionsOf(bytes).c_str()) == 0)
      << path_ << ": " << std::strerror(errno);
}

SmallDisk::~SmallDisk() {
  ::umount2(path_.c_str(), MNT_DETACH);
  ::rmdir(path_.c_str());
}

int64_t SmallDisk::free_bytes() const {
  struct statvfs disk;
  RADLADS_CHECK(::statvfs(path_.c_str(), &disk) == 0) << path_ << ": " << std::strerror(errno);
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_bsize);
}

void SmallDisk::Resize(int64_t bytes) {
  RADLADS_CHECK(::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT, OptionsOf(bytes).c_str()) == 0)
      << path_ << ": " << std::strerror(errno);
}

void SmallDisk::FillBut(int64_t bytes) {
  const std::string ballast = path_ + "/ballast";
  ::unlink(ballast.c_str());
  const int64_t leaves = std::min(bytes, INT64_MAX - kPage) / kPage * kPage;
  // Who else writes may take the last pages meanwhile.
  for (int failed = ENOSPC; failed == ENOSPC;) {
    const int64_t takes = free_bytes() / kPage * kPage - leaves;
    if (takes <= 0) return;
    const int file = ::open(ballast.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    RADLADS_CHECK(file >= 0) << ballast << ": " << std::strerror(errno);
    failed = ::posix_fallocate(file, 0, takes);
    ::close(file);
    RADLADS_CHECK(failed == 0 || failed == ENOSPC) << ballast << ": " << std::strerror(failed);
  }
}

}  // namespace radlads
