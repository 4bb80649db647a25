#include "distill/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

class MetricsLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }

  void WriteSteps(int64_t resume_step, std::vector<int64_t> steps) {
    auto log = MetricsLog::Open(directory_, resume_step);
    ASSERT_TRUE(log.ok()) << log.status();
    for (int64_t step : steps) {
      ASSERT_TRUE((*log)->Write(step, step * 100, {{"loss", 1.0 / (1 + step)}, {"lr", 1e-3}}).ok());
    }
  }

  std::vector<int64_t> Steps() {
    auto lines = ReadMetrics(directory_);
    EXPECT_TRUE(lines.ok()) << lines.status();
    std::vector<int64_t> steps;
    for (const MetricsLine& line : *lines) steps.push_back(line.step);
    return steps;
  }

  int EventFiles() {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      count += entry.path().filename().string().find("tfevents") != std::string::npos;
    }
    return count;
  }

  std::string directory_;
};

using StepList = std::vector<int64_t>;

TEST_F(MetricsLogTest, WrittenLinesReadBack) {
  auto log = MetricsLog::Open(directory_, 0);
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_TRUE((*log)->Write(3, 300, {{"loss", 0.125}, {"grad_norm", std::numeric_limits<double>::infinity()}}).ok());
  // Readable while the log is open: every line is flushed.
  auto lines = ReadMetrics(directory_);
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0].step, 3);
  EXPECT_EQ((*lines)[0].tokens, 300);
  EXPECT_GT((*lines)[0].time, 1.6e9);
  EXPECT_EQ((*lines)[0].values.at("loss"), 0.125);
  EXPECT_TRUE(std::isnan((*lines)[0].values.at("grad_norm")));
}

TEST_F(MetricsLogTest, ResumingDropsWhatCameAfterTheCheckpoint) {
  WriteSteps(0, {0, 10, 20, 30});
  WriteSteps(20, {25, 35});
  EXPECT_EQ(Steps(), (StepList{0, 10, 20, 25, 35}));
  EXPECT_EQ(EventFiles(), 2);
}

TEST_F(MetricsLogTest, NewRunRemovesTheLogOfTheOld) {
  WriteSteps(0, {0, 10});
  WriteSteps(0, {0});
  EXPECT_EQ(Steps(), (StepList{0}));
  EXPECT_EQ(EventFiles(), 1);
}

TEST_F(MetricsLogTest, CutOffLastLineIsDroppedOnResume) {
  WriteSteps(0, {10, 20});
  auto contents = ReadFile(directory_ + "/metrics.jsonl");
  ASSERT_TRUE(contents.ok());
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/metrics.jsonl", *contents + "{\"step\": 30, \"lo").ok());
  EXPECT_EQ(Steps(), (StepList{10, 20}));
  WriteSteps(20, {30});
  EXPECT_EQ(Steps(), (StepList{10, 20, 30}));
}

TEST_F(MetricsLogTest, AFullDiskLeavesWholeLinesToContinueFrom) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(1 << 20);
  int64_t last = 0;
  for (int tries = 0; tries < 8; ++tries) {
    // Three pages: the log or the event file is the one that is full, by turns.
    disk.FillBut(3 * 4096);
    auto log = MetricsLog::Open(disk.path(), last);
    ASSERT_TRUE(log.ok()) << log.status();
    absl::Status status;
    int64_t step = last;
    while (status.ok()) {
      ASSERT_LT(step, last + 10'000);
      ++step;
      status = (*log)->Write(step, step, {{std::string(1 + step % (50 + 30 * tries), 'x'), 0.125}});
    }
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    auto lines = ReadMetrics(disk.path());
    ASSERT_TRUE(lines.ok()) << lines.status();
    ASSERT_GE(static_cast<int64_t>(lines->size()), step - 1);  // the step's line may be there without its event
    for (size_t i = 0; i < lines->size(); ++i) EXPECT_EQ((*lines)[i].step, static_cast<int64_t>(i) + 1);
    const std::string text = *ReadFile(disk.path() + "/metrics.jsonl");
    EXPECT_EQ(text.back(), '\n');
    last = step - 5;  // of a checkpoint
  }
}

TEST_F(MetricsLogTest, MalformedLineIsNamed) {
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/metrics.jsonl", "{\"step\":1}\nnot json\n").ok());
  auto lines = ReadMetrics(directory_);
  ASSERT_FALSE(lines.ok());
  EXPECT_EQ(lines.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(lines.status().message().find("metrics.jsonl:2"), std::string::npos) << lines.status();
  ASSERT_FALSE(MetricsLog::Open(directory_, 5).ok());
}

TEST_F(MetricsLogTest, MissingFileIsNotFound) {
  EXPECT_EQ(ReadMetrics(directory_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace radlads
