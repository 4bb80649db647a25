// Training on disks that are full before it is done: the run says so, what it has stays whole, and the same command
// with room ends in the same bytes as a run that nothing disturbed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "base/file.h"
#include "distill/metrics_log.h"
#include "distill/run.h"
#include "distill/test_run.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Two stages of eight steps each, which save, score and log.
Config Pipeline(const TestRun& run, const std::string& disk) {
  Config config = run.StageConfig("run", 1);
  TrainConfig& train = *config.mutable_train();
  train.set_proj_dir(disk);
  train.clear_load_model();
  train.clear_attention_distillation_stage();
  train.set_my_exit_tokens(8 * 2 * 16);
  train.set_log_every_n_steps(1);
  train.set_save_every_n_steps(3);
  train.set_val_check_interval(4);
  train.set_validation_data_file(run.path("data"));
  train.set_validation_tokens(64);
  for (const auto& [name, stage] : {std::pair("align", 1), std::pair("logits", 2)}) {
    PipelineStage& entry = *config.add_pipeline();
    entry.set_name(name);
    entry.mutable_train()->set_attention_distillation_stage(stage);
    entry.mutable_train()->mutable_teacher()->set_kl_weight(stage == 2 ? 1 : 0);
    entry.mutable_train()->mutable_teacher()->set_ce_weight(stage == 2 ? 0 : 1);
  }
  return config;
}

// What two runs of one configuration have in common: weights, moments and states, and metrics but for their times.
std::map<std::string, std::string> Result(const std::string& disk) {
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::recursive_directory_iterator(disk)) {
    const std::string name = fs::relative(entry.path(), disk);
    if (name.ends_with("metrics.jsonl")) {
      const auto lines = ReadMetrics(entry.path().parent_path());
      EXPECT_TRUE(lines.ok()) << lines.status();
      for (const MetricsLine& line : *lines) {
        result[name] += std::to_string(line.step);
        for (const auto& [metric, value] : line.values) {
          if (metric != "tokens_per_second") result[name] += " " + metric + " " + std::to_string(value);
        }
        result[name] += "\n";
      }
    } else if (name.ends_with(".safetensors") || name.ends_with("trainer.json")) {
      result[name] = *ReadFile(entry.path());
    } else if (entry.is_regular_file() && !name.ends_with(".yaml") && name.find("tfevents") == std::string::npos) {
      result[name] = "there";
    }
  }
  result.erase("ballast");
  return result;
}

TEST(TrainOnAFullDiskTest, TheSameCommandEndsInTheSameBytes) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const TestRun run("full-disk");
  constexpr int64_t kDisk = 32 << 20;
  std::map<std::string, std::string> expected;
  int64_t taken = 0;
  {
    SmallDisk disk(kDisk);
    const absl::Status status = Train(Pipeline(run, disk.path()));
    ASSERT_TRUE(status.ok()) << status;
    expected = Result(disk.path());
    taken = kDisk - disk.free_bytes();
    ASSERT_TRUE(expected.contains("run/logits/final/model.safetensors"));
    ASSERT_TRUE(expected.contains("run/align/report.html"));
  }
  std::mt19937_64 random(5);
  int full = 0, continued = 0;
  for (int round = 0; round < 4; ++round) {
    SmallDisk disk(kDisk);
    for (int64_t room = random() % (taken / 2); true; room = random() % (taken / 2)) {
      SCOPED_TRACE("room for " + std::to_string(room) + " of " + std::to_string(taken) + " bytes, round " +
                   std::to_string(round));
      disk.FillBut(room);
      const absl::Status status = Train(Pipeline(run, disk.path()));
      if (status.ok()) break;
      ++full;
      ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
      EXPECT_THAT(std::string(status.message()), HasSubstr("make room"));
      for (const auto& [name, contents] : Result(disk.path())) {
        EXPECT_EQ(name.find("partial"), std::string::npos) << name << " was left behind";
        if (name.find("step-") != std::string::npos || name.find("final/") != std::string::npos) {
          ++continued;
          if (expected.contains(name)) EXPECT_TRUE(contents == expected.at(name)) << name;
        }
      }
    }
    const auto result = Result(disk.path());
    for (const auto& [name, contents] : expected) {
      ASSERT_TRUE(result.contains(name)) << name << " is missing";
      EXPECT_TRUE(result.at(name) == contents) << name << " is another than without the full disk";
    }
    EXPECT_EQ(result.size(), expected.size());
  }
  EXPECT_GT(full, 4);
  EXPECT_GT(continued, 0) << "no run had a checkpoint when the disk was full";
}

TEST(TrainOnAFullDiskTest, AReportThatFoundNoRoomIsWrittenByTheSameCommand) {
  const TestRun run("no-report");
  Config config = run.StageConfig("run", 1);
  config.mutable_train()->set_my_exit_tokens(4 * 2 * 16);
  ASSERT_EQ(Train(config), absl::OkStatus());
  const std::string report = run.path("run/report.html");
  ASSERT_TRUE(fs::remove(report));
  ASSERT_EQ(Train(config), absl::OkStatus());
  EXPECT_TRUE(FileExists(report));
}

TEST(TrainOnAFullDiskTest, WhatAKilledRunWasWritingTakesNoRoomForEver) {
  const TestRun run("leftovers");
  Config config = run.StageConfig("run", 1);
  config.mutable_train()->set_my_exit_tokens(4 * 2 * 16);
  const std::string half = run.path("run/step-000001.partial-99999999-4"), file = run.path("run/config.yaml.partial-99999999-5");
  ASSERT_TRUE(MakeDirectories(half).ok());
  ASSERT_TRUE(WriteFileAtomically(half + "/model.safetensors", "half").ok());
  ASSERT_TRUE(WriteFileAtomically(file, "half").ok());
  ASSERT_EQ(Train(config), absl::OkStatus());
  EXPECT_FALSE(FileExists(half));
  EXPECT_FALSE(FileExists(file));
}

}  // namespace
}  // namespace radlads
