#include "base/memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace radlads {
namespace {

class MemoryLimitTest : public ::testing::Test {
 protected:
  MemoryLimitTest() : root_(::testing::TempDir() + "/root") {
    std::filesystem::remove_all(root_);
    Write("proc/self/cgroup", "0::/a.slice/b.service\n");
  }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = std::filesystem::path(root_) / path;
    std::filesystem::create_directories(file.parent_path());
    ASSERT_TRUE(WriteFileAtomically(file, text).ok());
  }
  const std::string root_;
};

TEST_F(MemoryLimitTest, TheLeastOfAllGroupsAround) {
  const int64_t machine = MemoryLimit(root_);
  EXPECT_GT(machine, 100 << 20);
  Write("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
  EXPECT_EQ(MemoryLimit(root_), machine);
  Write("sys/fs/cgroup/a.slice/memory.max", "80000000\n");
  EXPECT_EQ(MemoryLimit(root_), 80'000'000);
  Write("sys/fs/cgroup/a.slice/b.service/memory.max", "70000000\n");
  EXPECT_EQ(MemoryLimit(root_), 70'000'000);
  Write("sys/fs/cgroup/memory.max", "60000000\n");
  EXPECT_EQ(MemoryLimit(root_), 60'000'000) << "of a container";
  Write("sys/fs/cgroup/memory.max", "9000000000000000000\n");
  EXPECT_EQ(MemoryLimit(root_), 70'000'000);
  Write("sys/fs/cgroup/other/memory.max", "1\n");
  EXPECT_EQ(MemoryLimit(root_), 70'000'000) << "of others";
  // In a container the group is called "/".
  Write("proc/self/cgroup", "1:name=systemd:/x\n0::/\n");
  Write("sys/fs/cgroup/memory.max", "50000000\n");
  EXPECT_EQ(MemoryLimit(root_), 50'000'000);
}

TEST(MemoryLimit, LimitsOfTheProcessCount) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_DATA, &before), 0);
  const rlimit least{.rlim_cur = 90'000'000, .rlim_max = before.rlim_max};
  const int64_t machine = MemoryLimit();
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &least), 0);
  const int64_t limited = MemoryLimit();
  ASSERT_EQ(::setrlimit(RLIMIT_DATA, &before), 0);
  EXPECT_EQ(limited, 90'000'000);
  EXPECT_EQ(MemoryLimit(), machine);
}

TEST(MemoryInUse, GrowsWithWhatIsTouched) {
  const int64_t before = MemoryInUse();
  EXPECT_GT(before, 0);
  const std::vector<char> touched(64 << 20, 'x');
  EXPECT_GT(MemoryInUse(), before + (60 << 20)) << touched.size();
}

TEST(SpellBytes, IsShort) {
  EXPECT_EQ(SpellBytes(0), "0 bytes");
  EXPECT_EQ(SpellBytes(1023), "1023 bytes");
  EXPECT_EQ(SpellBytes(1536), "1.5 KiB");
  EXPECT_EQ(SpellBytes(int64_t{24} << 30), "24.0 GiB");
}

}  // namespace
}  // namespace radlads
