// What a disk that is really full does to files, at many sizes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <set>
#include <string>

#include "base/file.h"
#include "base/log_file.h"
#include "base/status.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kPage = 4096;

std::set<std::string> NamesIn(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  names.erase("ballast");
  return names;
}

TEST(FileErrorTest, SaysWhatWasWantedAndWhatToDo) {
  const std::string path = ::testing::TempDir() + "/a/b";
  absl::Status status = FileError("write", path, ENOSPC, 4096);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("cannot write " + path + ": No space left on device"), HasSubstr("4096 bytes wanted"),
                    HasSubstr("make room and run the same command again")));
  status = FileError("write", path, EDQUOT);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("within the quota"));
  status = FileError("write", path, EFBIG, 1);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("ulimit -f"));
  EXPECT_TRUE(absl::IsPermissionDenied(FileError("create", path, EROFS)));
  EXPECT_TRUE(absl::IsNotFound(FileError("open", path, ENOENT)));
  EXPECT_TRUE(absl::IsUnavailable(FileError("write", path, EIO)));
  EXPECT_EQ(FileError("open", "x.partial-1-2/y.partial-33-44.z", EIO).message(),
            "cannot open x/y.z: Input/output error");
}

TEST(FullDiskTest, AFileIsTheNewOneOrTheOldOne) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(8 << 20);
  std::mt19937_64 random(1);
  const std::string path = disk.path() + "/file", old(10'000, 'o');
  int full = 0;
  for (int i = 0; i < 60; ++i) {
    disk.FillBut(INT64_MAX);
    ASSERT_TRUE(WriteFileAtomically(path, old).ok());
    const std::string contents(random() % (3 << 20), 'n');
    const int64_t room = random() % (3 << 20) / kPage * kPage;
    disk.FillBut(room);
    SCOPED_TRACE(Concatenate(contents.size(), " bytes, room for ", room));
    const absl::Status status = WriteFileAtomically(path, contents);
    ASSERT_EQ(status.ok(), static_cast<int64_t>(contents.size()) <= room) << status;
    ASSERT_TRUE(*ReadFile(path) == (status.ok() ? contents : old));
    EXPECT_EQ(NamesIn(disk.path()), std::set<std::string>{"file"});
    if (status.ok()) continue;
    ++full;
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("cannot write " + path + ": No space left on device ("),
                      HasSubstr(" bytes wanted, 0 free"), HasSubstr("make room"), Not(HasSubstr("partial"))));
    disk.FillBut(INT64_MAX);
    ASSERT_TRUE(WriteFileAtomically(path, contents).ok());
    ASSERT_TRUE(*ReadFile(path) == contents);
  }
  EXPECT_GT(full, 10);
  EXPECT_LT(full, 50);
}

TEST(FullDiskTest, ADirectoryIsTheNewOneOrTheOldOne) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(8 << 20);
  const std::string path = disk.path() + "/step-1";
  const auto write = [](char letter) {
    return [letter](const std::string& directory) -> absl::Status {
      for (const char* name : {"a", "b", "c"}) {
        RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, name), std::string(100'000, letter)));
      }
      return absl::OkStatus();
    };
  };
  ASSERT_TRUE(WriteDirectoryAtomically(path, write('o')).ok());
  for (int64_t room = 0; room < 320'000; room += 5 * kPage) {
    disk.FillBut(room);
    const absl::Status status = WriteDirectoryAtomically(path, write('n'));
    EXPECT_EQ(NamesIn(disk.path()), std::set<std::string>{"step-1"}) << room;
    EXPECT_EQ(NamesIn(path), (std::set<std::string>{"a", "b", "c"})) << room;
    if (status.ok()) break;
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(path + "/"), Not(HasSubstr("partial"))));
    for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(*ReadFile(JoinPath(path, name)) == std::string(100'000, 'o'));
  }
  EXPECT_TRUE(*ReadFile(JoinPath(path, "c")) == std::string(100'000, 'n'));
}

TEST(FullDiskTest, ARecordIsInALogAsAWholeOrNotAtAll) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(1 << 20);
  std::mt19937_64 random(1);
  const std::string path = disk.path() + "/log";
  std::string expected;
  auto file = LogFile::Open(path, 0);
  ASSERT_TRUE(file.ok()) << file.status();
  int full = 0;
  for (int i = 0; i < 300; ++i) {
    if (i % 30 == 0) disk.FillBut(random() % 60'000);
    const std::string record = std::string(1 + random() % 9000, 'a' + i % 26) + "\n";
    const absl::Status status = (*file)->Append(record);
    if (status.ok()) expected += record;
    ASSERT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
    ASSERT_TRUE(*ReadFile(path) == expected) << i;
    full += !status.ok();
    if (i % 100 != 99) continue;
    file = LogFile::Open(path, expected.size());
    ASSERT_TRUE(file.ok()) << file.status();
  }
  EXPECT_GT(full, 20);
  EXPECT_LT(full, 280);
  file = LogFile::Open(path, 10);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*ReadFile(path), expected.substr(0, 10));
  EXPECT_TRUE(absl::IsDataLoss(LogFile::Open(path, 11).status()));
}

}  // namespace
}  // namespace radlads
