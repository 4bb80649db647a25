#include "distill/test_run.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "configs/pipeline.h"
#include "data/binidx.h"
#include "distill/training_data.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

// Every token follows from the one before, but for one in eight.
std::vector<int32_t> Document(int64_t length, uint32_t& random) {
  std::vector<int32_t> tokens = {0};
  while (static_cast<int64_t>(tokens.size()) < length) {
    random = random * 1664525u + 1013904223u;
    const bool surprise = (random >> 28) < 2;
    tokens.push_back(1 + (surprise ? (random >> 8) % 96 : (tokens.back() * 5 + 7) % 96));
  }
  return tokens;
}

}  // namespace

TestRun::TestRun(const std::string& name) : directory_(JoinPath(testing::TempDir(), "run-" + name)) {
  std::filesystem::remove_all(directory_);
  const std::string teacher = path("teacher");
  RADLADS_CHECK(MakeDirectories(teacher).ok());
  const absl::Status saved = SaveTransformer(*SmallModel("llama"), teacher, at::kFloat, "");
  RADLADS_CHECK(saved.ok()) << saved;
  auto writer = TokenDatasetWriter::Create(path("data"), TokenType::kUint16);
  RADLADS_CHECK(writer.ok()) << writer.status();
  uint32_t random = 7;
  while ((*writer)->tokens() < 6000) RADLADS_CHECK((*writer)->AddDocument(Document(60, random)).ok());
  const absl::Status written = (*writer)->Commit();
  RADLADS_CHECK(written.ok()) << written;
}

std::string TestRun::path(const std::string& name) const {
  return JoinPath(directory_, name);
}

Config TestRun::StageConfig(const std::string& name, int stage) const {
  Config config;
  ModelConfig& model = *config.mutable_model();
  model.set_tmix("rad_rwkv7");
  model.set_gate_rank_type(2);
  model.set_balance_state(false);
  model.set_ctx_len(16);
  TrainConfig& train = *config.mutable_train();
  train.set_attention_distillation_stage(stage);
  train.set_load_model(path("teacher"));
  train.mutable_teacher()->set_path(path("teacher"));
  train.set_proj_dir(directory_);
  train.set_proj_name(name);
  train.set_proj_suffix("");
  train.set_data_file(path("data"));
  train.set_micro_bsz(2);
  train.set_precision("fp32");
  train.set_lr_init(1e-2);
  train.set_lr_final(1e-3);
  train.set_warmup_steps(2);
  train.set_keep_checkpoints(0);
  return config;
}

absl::StatusOr<std::unique_ptr<TestRun::Session>> TestRun::TryStart(const Config& config, Callback validate) const {
  auto session = std::make_unique<Session>();
  RADLADS_ASSIGN_OR_RETURN(session->models, LoadModels(config, at::kFloat));
  RADLADS_ASSIGN_OR_RETURN(session->stage,
                           CreateStage(config, *session->models.student, session->models.teacher.get()));
  RADLADS_ASSIGN_OR_RETURN(auto data,
                           OpenTrainingData(config, session->models.student->config(), ""));
  Trainer::Validate score;
  if (validate)
    score = [validate, raw = session.get()]() -> absl::StatusOr<Metrics> {
      return raw->trainer == nullptr ? Metrics() : validate(*raw);
    };
  RADLADS_ASSIGN_OR_RETURN(
      session->trainer, Trainer::Create(config, *session->models.student, *session->stage, std::move(data),
                                        RunFiles(RunDirectory(config.train(), config.model())), "", std::move(score)));
  return session;
}

std::unique_ptr<TestRun::Session> TestRun::Start(const Config& config, Callback validate) const {
  auto session = TryStart(config, std::move(validate));
  RADLADS_CHECK(session.ok()) << session.status();
  return std::move(*session);
}

}  // namespace radlads
