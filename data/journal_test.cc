#include "data/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() : path_(::testing::TempDir() + "/journal") { std::filesystem::remove(path_); }
  std::unique_ptr<Journal> MustOpen(const std::string& job = R"({"verb":"build","inputs":[{"bytes":3}]})") {
    auto journal = Journal::Open(path_, job, false);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  std::string path_;
};

TEST_F(JournalTest, RecordsComeBack) {
  {
    auto journal = MustOpen();
    EXPECT_THAT(journal->records(), ElementsAre());
    ASSERT_TRUE(journal->Append("one").ok());
    ASSERT_TRUE(journal->Append("two").ok());
  }
  {
    auto journal = MustOpen();
    EXPECT_THAT(journal->records(), ElementsAre("one", "two"));
    ASSERT_TRUE(journal->Truncate(1).ok());
    ASSERT_TRUE(journal->Append("three").ok());
  }
  EXPECT_THAT(MustOpen()->records(), ElementsAre("one", "three"));
  ASSERT_TRUE(MustOpen()->Remove().ok());
  EXPECT_FALSE(FileExists(path_));
}

TEST_F(JournalTest, EveryCutAndEveryFlippedBitLeavesARecordOrNone) {
  {
    auto journal = MustOpen();
    for (const char* record : {"one", "two", "three"}) ASSERT_TRUE(journal->Append(record).ok());
  }
  const std::string whole = *ReadFile(path_);
  const std::vector<std::string> records = {"one", "two", "three"};
  auto is_prefix = [&](const std::vector<std::string>& found) {
    return found.size() <= records.size() && std::equal(found.begin(), found.end(), records.begin());
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_TRUE(WriteFileAtomically(path_, whole.substr(0, i)).ok());
    EXPECT_PRED1(is_prefix, MustOpen()->records()) << "cut to " << i;
    std::string damaged = whole;
    damaged[i] ^= 4;
    ASSERT_TRUE(WriteFileAtomically(path_, damaged).ok());
    EXPECT_PRED1(is_prefix, MustOpen()->records()) << "flipped " << i;
  }
}

TEST_F(JournalTest, ASecondProcessIsRefused) {
  auto journal = MustOpen();
  const absl::Status status = Journal::Open(path_, "{}", true).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another process is writing this output"));
}

TEST_F(JournalTest, AnotherJobIsRefusedWithTheDifference) {
  ASSERT_TRUE(MustOpen()->Append("one").ok());
  const std::string other = R"({"verb":"build","inputs":[{"bytes":4}],"eos":0})";
  const absl::Status status = Journal::Open(path_, other, false).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("inputs/0/bytes was 3, now 4; eos was not there, now 0. Repeat"));
  auto restarted = Journal::Open(path_, other, true);
  ASSERT_TRUE(restarted.ok()) << restarted.status();
  EXPECT_THAT((*restarted)->records(), ElementsAre());
}

TEST_F(JournalTest, AnotherJobMayBeginWhereNothingWasReached) {
  MustOpen();
  EXPECT_TRUE(Journal::Open(path_, "{}", false).ok());
}

}  // namespace
}  // namespace radlads
