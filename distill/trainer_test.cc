// The trainer on models of three layers: it resumes exactly, stops cleanly, and never leaves half a checkpoint.
#include "distill/trainer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "distill/test_run.h"

namespace radlads {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Two samples of 16 tokens a step.
Config TwelveSteps(const TestRun& run, int stage = 1) {
  Config config = run.StageConfig("trained", stage);
  config.mutable_train()->set_my_exit_tokens(12 * 2 * 16);
  config.mutable_train()->set_log_every_n_steps(4);
  return config;
}

std::string Name(int64_t step) {
  return RunFiles("").CheckpointPath(step);
}

void ExpectSameParameters(Transformer& a, Transformer& b) {
  const auto first = a.NamedParameters(), second = b.NamedParameters();
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i].second, second[i].second)) << first[i].first;
}

TEST(TrainerTest, ResumedEqualsUninterrupted) {
  for (int stage : {1, 2, -1}) {
    SCOPED_TRACE(stage);
    const TestRun whole_run("whole"), cut_run("cut");
    const Config config = TwelveSteps(whole_run, stage);
    auto whole = whole_run.Start(config);
    ASSERT_TRUE(whole->trainer->Run().ok());

    // Stopped by a signal after step 5, within a window of the metrics and between two checkpoints.
    Config cut_config = TwelveSteps(cut_run, stage);
    cut_config.mutable_train()->set_val_check_interval(5);
    cut_config.mutable_train()->set_save_every_n_steps(3);
    auto cut = cut_run.Start(cut_config, [](TestRun::Session& session) {
      if (session.trainer->state().step == 5) std::raise(SIGINT);
      return Metrics();
    });
    const absl::Status stopped = cut->trainer->Run();
    EXPECT_TRUE(absl::IsCancelled(stopped)) << stopped;
    EXPECT_THAT(std::string(stopped.message()), AllOf(HasSubstr("SIGINT after step 5 of 12"), HasSubstr(Name(5))));

    auto resumed = cut_run.Start(TwelveSteps(cut_run, stage));
    EXPECT_EQ(resumed->trainer->state().step, 5);
    ASSERT_TRUE(resumed->trainer->Run().ok());
    ExpectSameParameters(*whole->models.student, *resumed->models.student);
    const auto want = whole->trainer->optimizer().State(), got = resumed->trainer->optimizer().State();
    for (const auto& [name, tensor] : want) EXPECT_TRUE(at::equal(tensor, got.at(name))) << name;
    EXPECT_EQ(whole->trainer->state().loss.mean, resumed->trainer->state().loss.mean);

    auto want_lines = ReadMetrics(whole_run.path("trained")), got_lines = ReadMetrics(cut_run.path("trained"));
    ASSERT_TRUE(want_lines.ok() && got_lines.ok());
    std::erase_if(*got_lines, [](const MetricsLine& line) { return line.values.empty(); });  // of the callback above
    ASSERT_EQ(want_lines->size(), got_lines->size());
    for (size_t i = 0; i < want_lines->size(); ++i) {
      (*want_lines)[i].values.erase("tokens_per_second");
      (*got_lines)[i].values.erase("tokens_per_second");
      EXPECT_EQ((*want_lines)[i].step, (*got_lines)[i].step);
      EXPECT_EQ((*want_lines)[i].values, (*got_lines)[i].values) << "step " << (*want_lines)[i].step;
    }
  }
}

TEST(TrainerTest, GlobalBatchIsKeptByAccumulation) {
  const TestRun run("batch");
  Config config = TwelveSteps(run);
  config.mutable_train()->set_micro_bsz(1);
  config.mutable_train()->set_devices(2);
  auto spread = run.Start(config);
  EXPECT_EQ(spread->trainer->micro_batches(), 2);
  EXPECT_EQ(spread->trainer->total_steps(), 12);
  ASSERT_TRUE(spread->trainer->Run().ok());
  const TestRun other("one-batch");
  auto whole = other.Start(TwelveSteps(other));
  EXPECT_EQ(whole->trainer->micro_batches(), 1);
  ASSERT_TRUE(whole->trainer->Run().ok());
  EXPECT_EQ(spread->trainer->state().next_sample, whole->trainer->state().next_sample);
  EXPECT_NEAR(spread->trainer->state().last_loss, whole->trainer->state().last_loss,
              1e-3 * whole->trainer->state().last_loss);
}

TEST(TrainerTest, NotANumberStopsWithTheLayerNamedAndTheCheckpointKept) {
  for (int stage : {1, 2}) {
    const TestRun run("nan");
    Config config = TwelveSteps(run, stage);
    config.mutable_train()->set_save_every_n_steps(2);
    config.mutable_train()->set_val_check_interval(3);
    auto session = run.Start(config, [](TestRun::Session& session) {
      if (session.trainer->state().step == 3) {
        at::NoGradGuard no_grad;
        for (const auto& [name, tensor] : session.models.student->NamedParameters()) {
          if (name == "model.layers.1.self_attn.q_proj.weight") tensor[0][0] = std::numeric_limits<float>::quiet_NaN();
        }
      }
      return Metrics();
    });
    const absl::Status status = session->trainer->Run();
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    const std::string message(status.message());
    EXPECT_THAT(message,
                AllOf(HasSubstr("step 4: the loss is nan"), HasSubstr("model.layers.1.self_attn.q_proj.weight"),
                      HasSubstr("samples 6 to 7"), HasSubstr(Name(2))));
    if (stage == 1) {
      EXPECT_THAT(message, HasSubstr("layer.01"));
    }
    EXPECT_EQ(session->trainer->state().step, 3);
    EXPECT_EQ(RunFiles(run.path("trained")).NewestCheckpoint(), JoinPath(run.path("trained"), Name(2)));
  }
}

TEST(TrainerTest, FullDiskLeavesTheOlderCheckpoint) {
  const TestRun run("full");
  Config config = TwelveSteps(run);
  config.mutable_train()->set_save_every_n_steps(2);
  config.mutable_train()->set_keep_checkpoints(1);
  config.mutable_train()->set_val_check_interval(4);
  auto session = run.Start(config, [](TestRun::Session& session) {
    if (session.trainer->state().step == 4) SetDiskSpaceForTesting(100'000);
    return Metrics();
  });
  const absl::Status status = session->trainer->Run();
  SetDiskSpaceForTesting(-1);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("no checkpoint at step 4"), HasSubstr(Name(2)), HasSubstr("is intact")));
  EXPECT_FALSE(FileExists(JoinPath(run.path("trained"), Name(4))));
  auto resumed = run.Start(TwelveSteps(run));
  EXPECT_EQ(resumed->trainer->state().step, 2);
  EXPECT_TRUE(resumed->trainer->Run().ok());
}

TEST(TrainerTest, HalfACheckpointIsNotSeen) {
  const TestRun run("half");
  Config config = TwelveSteps(run);
  config.mutable_train()->set_save_every_n_steps(4);
  ASSERT_TRUE(run.Start(config)->trainer->Run().ok());
  const RunFiles files(run.path("trained"));
  // What a kill within a write leaves: a directory under a temporary name, or (by hand) one without its last file.
  std::filesystem::copy(files.CheckpointPath(12), files.CheckpointPath(20) + ".partial",
                        std::filesystem::copy_options::recursive);
  std::filesystem::copy(files.CheckpointPath(12), files.CheckpointPath(21), std::filesystem::copy_options::recursive);
  std::filesystem::remove(files.CheckpointPath(21) + "/trainer.json");
  EXPECT_EQ(files.NewestCheckpoint(), files.CheckpointPath(12));
  EXPECT_EQ(run.Start(config)->trainer->state().step, 12);
}

TEST(TrainerTest, KeepsTheNewestCheckpoints) {
  const TestRun run("keep");
  Config config = TwelveSteps(run);
  config.mutable_train()->set_save_every_n_steps(3);
  config.mutable_train()->set_keep_checkpoints(2);
  ASSERT_TRUE(run.Start(config)->trainer->Run().ok());
  for (int64_t step : {3, 6}) EXPECT_FALSE(FileExists(JoinPath(run.path("trained"), Name(step)))) << step;
  for (int64_t step : {9, 12}) EXPECT_TRUE(FileExists(JoinPath(run.path("trained"), Name(step)))) << step;
}

TEST(TrainerTest, ResumeNeverAndResumeAPath) {
  const TestRun run("resume");
  Config config = TwelveSteps(run);
  config.mutable_train()->set_save_every_n_steps(6);
  ASSERT_TRUE(run.Start(config)->trainer->Run().ok());
  config.mutable_train()->set_resume("never");
  EXPECT_THAT(std::string(run.TryStart(config).status().message()), AllOf(HasSubstr("never"), HasSubstr(Name(12))));
  config.mutable_train()->set_resume(run.path("elsewhere"));
  EXPECT_THAT(std::string(run.TryStart(config).status().message()), HasSubstr("trainer.json"));
  config.mutable_train()->set_resume(JoinPath(run.path("trained"), Name(6)));
  EXPECT_THAT(std::string(run.TryStart(config).status().message()), HasSubstr("gone further"));
  config.mutable_train()->set_proj_name("branch");
  EXPECT_EQ(run.Start(config)->trainer->state().step, 6);
  config.mutable_train()->set_proj_name("other-length");
  config.mutable_model()->set_ctx_len(8);
  EXPECT_THAT(std::string(run.TryStart(config).status().message()), HasSubstr("model.ctx_len 16"));
}

TEST(LossStatisticsTest, AJumpIsASpikeAndNoiseIsNot) {
  LossStatistics statistics;
  EXPECT_FALSE(statistics.IsSpike(1e9, 5));
  for (int i = 0; i < 100; ++i) statistics.Add(2 + 0.1 * std::sin(i));
  EXPECT_NEAR(statistics.mean, 2, 0.05);
  EXPECT_FALSE(statistics.IsSpike(2.2, 5));
  EXPECT_TRUE(statistics.IsSpike(3, 5));
  EXPECT_FALSE(statistics.IsSpike(3, 0));
}

}  // namespace
}  // namespace radlads
