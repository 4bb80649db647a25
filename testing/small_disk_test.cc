#include "testing/small_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

namespace radlads {
namespace {

// -> the bytes of it that are written.
int64_t WriteOut(const std::string& path, int64_t bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const std::string data(bytes, 'x');
  int64_t written = 0;
  while (written < bytes) {
    const ssize_t more = ::write(file, data.data() + written, bytes - written);
    if (more < 0) break;
    written += more;
  }
  EXPECT_TRUE(written == bytes || errno == ENOSPC) << errno;
  ::close(file);
  return written;
}

TEST(SmallDiskTest, IsFullWhenItIs) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(1 << 20);
  EXPECT_EQ(disk.free_bytes(), 1 << 20);
  EXPECT_EQ(WriteOut(disk.path() + "/a", 900'000), 900'000);
  EXPECT_EQ(WriteOut(disk.path() + "/b", 900'000), (1 << 20) - 901'120);
  EXPECT_EQ(disk.free_bytes(), 0);
  disk.Resize(2 << 20);
  EXPECT_EQ(WriteOut(disk.path() + "/b", 900'000), 900'000);
}

TEST(SmallDiskTest, SomebodyElseFillsIt) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(1 << 20);
  disk.FillBut(10'000);
  EXPECT_EQ(disk.free_bytes(), 8192);
  EXPECT_EQ(WriteOut(disk.path() + "/a", 5000), 5000);
  disk.FillBut(0);
  EXPECT_EQ(disk.free_bytes(), 0);
  disk.FillBut(INT64_MAX);
  EXPECT_EQ(disk.free_bytes(), (1 << 20) - 8192);
}

TEST(SmallDiskTest, ProgramsSeeItAndItGoes) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  std::string path;
  {
    SmallDisk disk(1 << 20);
    path = disk.path();
    const std::string file = path + "/a";
    const pid_t child = ::fork();
    if (child == 0) {
      ::execlp("dd", "dd", "if=/dev/zero", ("of=" + file).c_str(), "bs=1k", "count=2k", "status=none", nullptr);
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_EQ(std::filesystem::file_size(file), 1 << 20);
    SmallDisk other(4096);
    EXPECT_NE(other.path(), path);
    EXPECT_EQ(other.free_bytes(), 4096);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace radlads
