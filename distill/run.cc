#include "distill/run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <vector>

#include "base/file.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/progress.h"
#include "base/status.h"
#include "configs/loader.h"
#include "configs/pipeline.h"
#include "distill/caching_allocator.h"
#include "distill/report.h"
#include "distill/run_files.h"
#include "distill/stage.h"
#include "distill/trainer.h"
#include "distill/training_data.h"
#include "distill/validation.h"
#include "model/precision.h"

namespace radlads {
namespace {

// Knobs that do not change what is learnt.
void ClearIncidental(Config& config) {
  TrainConfig& train = *config.mutable_train();
  train.clear_resume();
  train.clear_threads();
  train.clear_log_every_n_steps();
  train.clear_save_every_n_steps();
  train.clear_epoch_save();
  train.clear_keep_checkpoints();
  train.clear_grad_cp();
  train.clear_data_key_file();
}

// What differs between the configuration of the run in `directory` and `config`; empty if nothing that matters or if
// there is no run.
absl::StatusOr<std::string> Differences(const std::string& directory, Config config) {
  const std::string path = JoinPath(directory, "config.yaml");
  if (!FileExists(path)) return std::string();
  Config before;
  RADLADS_RETURN_IF_ERROR(MergeFile(path, before));
  ClearIncidental(before);
  ClearIncidental(config);
  std::string differences;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&differences);
  differencer.Compare(before, config);
  return differences;
}

// The state that a finished run ended with.
absl::StatusOr<std::optional<TrainerState>> Finished(const RunFiles& files, const TrainConfig& train) {
  if (!FileExists(JoinPath(files.FinalPath(), "trainer.json"))) return std::optional<TrainerState>();
  RADLADS_ASSIGN_OR_RETURN(const TrainerState state, LoadTrainerState(files.FinalPath()));
  if (state.tokens < train.my_exit_tokens()) return std::optional<TrainerState>();  // more tokens are wanted now
  return std::optional<TrainerState>(state);
}

void LogCounts(Transformer& student, const Stage& stage) {
  int64_t all = 0, trainable = 0;
  for (const auto& [name, tensor] : student.NamedParameters()) all += tensor.numel();
  for (const NamedParameter& parameter : stage.Trainable()) trainable += parameter.tensor.numel();
  Log().info("stage: {}; {} parameters learn, {} are frozen", stage.description(), HumanCount(trainable),
             HumanCount(all - trainable));
}

// Makes `directory`/final stand for the last stage's, so that the run as a whole is a model too.
absl::Status LinkFinal(const std::string& directory, const std::string& last_stage) {
  const std::string link = JoinPath(directory, "final"), aside = link + ".partial";
  std::error_code error;
  std::filesystem::remove(aside, error);
  std::filesystem::create_directory_symlink(JoinPath(last_stage, "final"), aside, error);
  if (!error) std::filesystem::rename(aside, link, error);
  return error ? FileError("link", link, error.value()) : absl::OkStatus();
}

absl::Status TrainOne(const Config& config) {
  const TrainConfig& train = config.train();
  const RunFiles files(RunDirectory(train, config.model()));
  RADLADS_ASSIGN_OR_RETURN(const std::string differences, Differences(files.path(), config));
  RADLADS_ASSIGN_OR_RETURN(const std::optional<TrainerState> finished, Finished(files, train));
  if (finished) {
    if (!differences.empty()) {
      return FailedPrecondition(
          files.path(),
          " is a finished run of another configuration; choose another train.proj_suffix or remove it. Differences:\n",
          differences);
    }
    Log().info("already done: {} ({} steps, {} tokens)", files.path(), finished->step, HumanCount(finished->tokens));
    // It comes after the model: a disk may have had room for that alone.
    return FileExists(JoinPath(files.path(), "report.html")) ? absl::OkStatus() : WriteReport(files.path());
  }
  if (!differences.empty() && files.NewestCheckpoint()) {
    Log().warn("{} was begun with another configuration:\n{}", files.path(), differences);
  }

  SetThreads(static_cast<int>(train.threads()));
  at::set_num_threads(Threads());
  const int pinned = PinThreads();
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(train.precision()));
  Log().info("precision: {} ({}), fp32 master weights; {} threads{}",
             precision.dtype == at::kBFloat16 ? "bf16" : "fp32", precision.reason, Threads(),
             pinned > 0 ? ", pinned" : "");
  RADLADS_ASSIGN_OR_RETURN(const Models models, LoadModels(config, precision.dtype));
  ReleaseCachedMemory();
  Transformer& student = *models.student;
  Log().info("student ({}): {}", models.student_from, student.PlanDescription());
  if (models.teacher) Log().info("teacher: {}", models.teacher->PlanDescription());

  RADLADS_ASSIGN_OR_RETURN(const auto data, OpenTrainingData(config, student.config(), models.tokenizer_from));
  RADLADS_ASSIGN_OR_RETURN(const auto stage, CreateStage(config, student, models.teacher.get()));
  LogCounts(student, *stage);
  std::optional<Validation> validation;
  Trainer::Validate validate;
  if (!train.validation_data_file().empty()) {
    RADLADS_ASSIGN_OR_RETURN(const auto windows, OpenValidationData(config, student.config(), models.tokenizer_from));
    RADLADS_ASSIGN_OR_RETURN(validation, Validation::Read(*windows, train.validation_tokens()));
    validate = [&] { return validation->Score(student, models.teacher.get()); };
  }
  at::manual_seed(train.seed_everything());
  RADLADS_ASSIGN_OR_RETURN(const auto trainer,
                           Trainer::Create(config, student, *stage, data, files, models.tokenizer_from, validate));
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(files.path(), "config.yaml"), ToYaml(config)));
  Log().info("{} steps of {} samples ({} x {}, accumulated in one process), {} tokens", trainer->total_steps(),
             GlobalBatch(train), trainer->micro_batches(), train.micro_bsz(),
             HumanCount(trainer->total_steps() * GlobalBatch(train) * config.model().ctx_len()));
  LogPlan(*data, trainer->total_steps() * GlobalBatch(train));
  RADLADS_RETURN_IF_ERROR(trainer->Run());
  RADLADS_RETURN_IF_ERROR(files.SaveFinal(trainer->state(), student, at::kBFloat16, models.tokenizer_from));
  RADLADS_RETURN_IF_ERROR(WriteReport(files.path()));
  Log().info("done: {} (bf16), report {}", files.FinalPath(), JoinPath(files.path(), "report.html"));
  return absl::OkStatus();
}

}  // namespace

absl::Status Train(const Config& config) {
  RADLADS_RETURN_IF_ERROR(Validate(config));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<Config> runs, ExpandPipeline(config));
  if (config.pipeline_size() == 0) return TrainOne(runs.front());
  const std::string directory = RunDirectory(config.train(), config.model());
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "config.yaml"), ToYaml(config)));
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string& name = config.pipeline(static_cast<int>(i)).name();
    Log().info("---- {} ({} of {}) ----", name, i + 1, runs.size());
    if (absl::Status status = TrainOne(runs[i]); !status.ok()) return Annotate(status, name);
  }
  RADLADS_RETURN_IF_ERROR(LinkFinal(directory, config.pipeline(config.pipeline_size() - 1).name()));
  RADLADS_RETURN_IF_ERROR(WriteReport(directory));
  Log().info("model: {}, report: {}", JoinPath(directory, "final"), JoinPath(directory, "report.html"));
  return absl::OkStatus();
}

}  // namespace radlads
