// Whole runs and pipelines, from a configuration to final/ and report.html.
#include "distill/run.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "data/binidx.h"
#include "distill/metrics_log.h"
#include "distill/test_run.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

// Alignment, logits and language for 40 steps each.
Config Pipeline(const TestRun& run) {
  Config config = run.StageConfig("pipeline", 1);
  config.mutable_train()->clear_load_model();
  config.mutable_train()->clear_attention_distillation_stage();
  config.mutable_train()->set_my_exit_tokens(40 * 2 * 16);
  config.mutable_train()->set_log_every_n_steps(8);
  config.mutable_train()->set_validation_data_file(run.path("data"));
  config.mutable_train()->set_validation_tokens(320);
  for (const auto& [name, stage] : {std::pair("align", 1), std::pair("logits", 2), std::pair("language", -1)}) {
    PipelineStage& entry = *config.add_pipeline();
    entry.set_name(name);
    entry.mutable_train()->set_attention_distillation_stage(stage);
    entry.mutable_train()->mutable_teacher()->set_kl_weight(stage == 2 ? 1 : 0);
    entry.mutable_train()->mutable_teacher()->set_ce_weight(stage == 2 ? 0 : 1);
  }
  return config;
}

TEST(RunTest, ThreeStagesEachReduceTheirLoss) {
  const TestRun run("stages");
  const Config config = Pipeline(run);
  const absl::Status status = Train(config);
  ASSERT_TRUE(status.ok()) << status;
  for (const char* stage : {"align", "logits", "language"}) {
    const std::string directory = run.path(std::string("pipeline/") + stage);
    auto lines = ReadMetrics(directory);
    ASSERT_TRUE(lines.ok()) << lines.status();
    std::vector<double> losses;
    for (const MetricsLine& line : *lines) {
      if (line.values.count("loss")) losses.push_back(line.values.at("loss"));
    }
    ASSERT_GE(losses.size(), 4) << stage;
    EXPECT_LT(losses.back(), 0.9 * losses.front()) << stage;
    EXPECT_TRUE(lines->front().values.count("teacher_validation_perplexity")) << stage;
    for (const char* file :
         {"config.yaml", "report.html", "final/config.json", "final/model.safetensors", "step-000040/trainer.json"}) {
      EXPECT_TRUE(FileExists(JoinPath(directory, file))) << directory << "/" << file;
    }
  }
  EXPECT_TRUE(FileExists(run.path("pipeline/report.html")));

  // A stage starts from the fp32 weights of the one before, and its first score is the other's last.
  auto before = ReadMetrics(run.path("pipeline/align")), after = ReadMetrics(run.path("pipeline/logits"));
  ASSERT_TRUE(before.ok() && after.ok());
  const auto last = std::find_if(before->rbegin(), before->rend(),
                                 [](const MetricsLine& line) { return line.values.count("validation_loss"); });
  EXPECT_EQ(last->values.at("validation_loss"), after->front().values.at("validation_loss"));

  // The exported student is the trained one, rounded once.
  auto exported = LoadTransformer(run.path("pipeline"));  // its final/ is the last stage's
  auto trained = LoadTransformer(run.path("pipeline/language/step-000040"));
  ASSERT_TRUE(exported.ok() && trained.ok()) << exported.status() << trained.status();
  const auto rounded = (*exported)->NamedParameters(), exact = (*trained)->NamedParameters();
  for (size_t i = 0; i < exact.size(); ++i) {
    EXPECT_TRUE(at::equal(rounded[i].second, exact[i].second.to(at::kBFloat16).to(at::kFloat))) << exact[i].first;
  }

  // Again: everything is there.
  const auto written = std::filesystem::last_write_time(run.path("pipeline/language/final/model.safetensors"));
  EXPECT_TRUE(Train(config).ok());
  EXPECT_EQ(std::filesystem::last_write_time(run.path("pipeline/language/final/model.safetensors")), written);
  Config changed = config;
  changed.mutable_train()->set_lr_init(2e-2);
  const absl::Status refused = Train(changed);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(Message(refused), AllOf(HasSubstr("align"), HasSubstr("lr_init"), HasSubstr("0.02")));
}

TEST(RunTest, MoreTokensContinueAFinishedRun) {
  const TestRun run("more");
  Config config = run.StageConfig("trained", 1);
  config.mutable_train()->set_my_exit_tokens(4 * 2 * 16);
  ASSERT_TRUE(Train(config).ok());
  config.mutable_train()->set_my_exit_tokens(6 * 2 * 16);
  ASSERT_TRUE(Train(config).ok());
  EXPECT_TRUE(FileExists(run.path("trained/step-000006")));
}

TEST(RunTest, PretrainsFromRandomWeights) {
  const TestRun run("pretrain");
  Config config = run.StageConfig("trained", -1);
  config.mutable_train()->clear_load_model();
  config.mutable_train()->clear_teacher();
  config.mutable_model()->MergeFrom(SmallConfig("rad_rwkv6"));
  config.mutable_train()->set_my_exit_tokens(60 * 2 * 16);
  config.mutable_train()->set_log_every_n_steps(10);
  const absl::Status status = Train(config);
  ASSERT_TRUE(status.ok()) << status;
  auto lines = ReadMetrics(run.path("trained"));
  ASSERT_TRUE(lines.ok());
  EXPECT_LT(lines->back().values.at("loss"), 0.9 * lines->front().values.at("loss"));
}

TEST(RunTest, ContextLongerThanTheDataIsRefused) {
  const TestRun run("long");
  Config config = run.StageConfig("trained", 1);
  config.mutable_model()->set_ctx_len(100'000);
  EXPECT_THAT(Message(Train(config)), AllOf(HasSubstr("train.data_file"), HasSubstr("100000")));
}

TEST(RunTest, ShapesThatDoNotFitAreAllListed) {
  const TestRun run("shapes");
  Config config = run.StageConfig("first", 1);
  config.mutable_train()->set_my_exit_tokens(4 * 2 * 16);
  const absl::Status first = Train(config);
  ASSERT_TRUE(first.ok()) << first;
  config = run.StageConfig("second", 2);
  config.mutable_train()->set_load_model(run.path("first"));
  config.mutable_model()->set_lora_rank_decay(7);
  config.mutable_model()->set_gate_rank_type(1);
  EXPECT_THAT(Message(Train(config)),
              AllOf(HasSubstr("model.layers.0.self_attn.w1"), HasSubstr("model.layers.2.self_attn.w2"),
                    HasSubstr("model.layers.1.self_attn.g1"), HasSubstr("self_attn.gate")));
}

TEST(RunTest, VocabulariesMustBeEqual) {
  const TestRun run("vocabulary");
  ModelConfig larger = SmallConfig("llama");
  larger.set_vocab_size(128);
  auto teacher = CreateRandom(larger, 1);
  ASSERT_TRUE(teacher.ok()) << teacher.status();
  ASSERT_TRUE(MakeDirectories(run.path("larger")).ok());
  ASSERT_TRUE(SaveTransformer(**teacher, run.path("larger"), at::kFloat, "").ok());
  Config config = run.StageConfig("trained", 2);
  config.mutable_train()->mutable_teacher()->set_path(run.path("larger"));
  EXPECT_THAT(Message(Train(config)), AllOf(HasSubstr("128"), HasSubstr("97")));
}

TEST(RunTest, TokensOfAnotherTokenizerAreRefused) {
  const TestRun run("tokens");
  auto writer = TokenDatasetWriter::Create(run.path("other"), TokenType::kUint16);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>(2000, 1234)).ok());
  ASSERT_TRUE((*writer)->Commit().ok());
  Config config = run.StageConfig("trained", 1);
  config.mutable_train()->set_data_file(run.path("other"));
  EXPECT_THAT(Message(Train(config)), HasSubstr("1234"));
}

TEST(RunTest, MissingFilesAreNamed) {
  const TestRun run("missing");
  Config config = run.StageConfig("trained", 1);
  config.mutable_train()->set_load_model(run.path("nowhere"));
  EXPECT_THAT(Message(Train(config)), HasSubstr("nowhere"));
  config = run.StageConfig("trained", 1);
  config.mutable_train()->set_data_file(run.path("no-data"));
  EXPECT_THAT(Message(Train(config)), HasSubstr("no-data"));
}

}  // namespace
}  // namespace radlads
