#include "distill/run_files.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/status.h"
#include "model/checkpoint/safetensors.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kTrainerFile = "trainer.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kRandomState = "random_state";
constexpr const char* kPartial = ".partial-";

// "step-000500" -> 500; other names, those of unfinished writes among them, -> -1.
int64_t StepOf(const std::string& name) {
  int64_t step = -1;
  if (!name.starts_with("step-")) return -1;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  return error == std::errc() && end == name.data() + name.size() ? step : -1;
}

// Whether `name` is a temporary one (base/file.h: NAME.partial-PROCESS-NUMBER) of a process that is no more.
bool IsLeftover(const std::string& name) {
  const size_t at = name.find(kPartial);
  pid_t process = 0;
  if (at == std::string::npos) return false;
  const char* const begin = name.data() + at + std::strlen(kPartial);
  if (std::from_chars(begin, name.data() + name.size(), process).ec != std::errc() || process <= 0) return false;
  return process == ::getpid() || (::kill(process, 0) != 0 && errno == ESRCH);
}

// Whole checkpoints of a run with their steps, oldest first.
std::vector<std::pair<int64_t, std::string>> Checkpoints(const std::string& run) {
  std::vector<std::pair<int64_t, std::string>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run, error)) {
    const int64_t step = StepOf(entry.path().filename().string());
    if (step >= 0 && fs::exists(entry.path() / kTrainerFile, error)) found.emplace_back(step, entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

json ToJson(const TrainerState& state) {
  return {{"step", state.step},
          {"tokens", state.tokens},
          {"next_sample", state.next_sample},
          {"ctx_len", state.ctx_len},
          {"samples_per_pass", state.samples_per_pass},
          {"loss_count", state.loss.count},
          {"loss_mean", state.loss.mean},
          {"loss_variance", state.loss.variance},
          {"last_loss", state.last_loss},
          {"best_loss", state.best_loss},
          {"window_steps", state.window_steps},
          {"window", state.window}};
}

absl::Status WriteTrainerFile(const TrainerState& state, const std::string& directory) {
  return WriteFileAtomically(JoinPath(directory, kTrainerFile), ToJson(state).dump(2) + "\n");
}

at::Generator RandomGenerator() {
  return at::detail::getDefaultCPUGenerator();
}

}  // namespace

std::string RunFiles::CheckpointPath(int64_t step) const {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%06lld", static_cast<long long>(step));
  return JoinPath(path_, name);
}

std::string RunFiles::FinalPath() const {
  return JoinPath(path_, "final");
}

std::optional<std::string> RunFiles::NewestCheckpoint() const {
  const auto checkpoints = Checkpoints(path_);
  if (checkpoints.empty()) return std::nullopt;
  return checkpoints.back().second;
}

absl::StatusOr<std::optional<std::string>> RunFiles::CheckpointToResume(const std::string& resume) const {
  const std::optional<std::string> newest = NewestCheckpoint();
  if (resume == "auto") return newest;
  if (resume == "never") {
    if (!newest) return std::optional<std::string>();
    return FailedPrecondition("train.resume is never, but ", *newest,
                              " exists: set train.resume to auto to go on from it, ",
                              "choose another train.proj_name or proj_suffix, or remove ", path_);
  }
  if (FileExists(JoinPath(resume, kTrainerFile)) && FileExists(JoinPath(resume, kOptimizerFile))) {
    return std::optional<std::string>(resume);
  }
  const auto there = Checkpoints(resume);
  if (there.empty()) {
    return NotFound("train.resume is '", resume, "', expected auto, never, or a checkpoint (a directory with ",
                    kTrainerFile, " and ", kOptimizerFile, ") or a run that has one");
  }
  return std::optional<std::string>(there.back().second);
}

absl::Status RunFiles::RemoveLeftovers() const {
  std::error_code error;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    if (IsLeftover(entry.path().filename().string())) found.push_back(entry.path());
  }
  for (const fs::path& path : found) {
    fs::remove_all(path, error);
    if (error) return FileError("remove", path.string(), error.value());
    Log().info("removed {}, which a process that was killed left half-written", path.string());
  }
  return absl::OkStatus();
}

absl::Status RunFiles::SaveCheckpoint(const TrainerState& state, Transformer& model, const AdamW& optimizer,
                                      const std::string& tokenizer_from, int64_t keep) const {
  const std::string path = CheckpointPath(state.step);
  const absl::Status status = WriteDirectoryAtomically(path, [&](const std::string& directory) -> absl::Status {
    RADLADS_RETURN_IF_ERROR(SaveTransformer(model, directory, at::kFloat, tokenizer_from));
    NamedTensors tensors;
    for (const auto& [name, tensor] : optimizer.State()) tensors.emplace_back(name, tensor);
    tensors.emplace_back(kRandomState, RandomGenerator().get_state());
    RADLADS_RETURN_IF_ERROR(WriteSafetensors(JoinPath(directory, kOptimizerFile), tensors));
    return WriteTrainerFile(state, directory);
  });
  if (!status.ok()) {
    return Annotate(status,
                    Concatenate("no checkpoint at step ", state.step, "; ",
                                NewestCheckpoint() ? *NewestCheckpoint() + " is intact" : "the run has none yet"));
  }
  const auto checkpoints = Checkpoints(path_);
  for (size_t i = 0; keep > 0 && i + keep < checkpoints.size(); ++i) {
    std::error_code error;
    fs::remove_all(checkpoints[i].second, error);
    if (error) return FileError("remove", checkpoints[i].second, error.value());
  }
  return absl::OkStatus();
}

absl::Status RunFiles::SaveFinal(const TrainerState& state, Transformer& model, at::ScalarType dtype,
                                 const std::string& tokenizer_from) const {
  return WriteDirectoryAtomically(FinalPath(), [&](const std::string& directory) -> absl::Status {
    RADLADS_RETURN_IF_ERROR(SaveTransformer(model, directory, dtype, tokenizer_from));
    return WriteTrainerFile(state, directory);
  });
}

absl::StatusOr<TrainerState> LoadTrainerState(const std::string& checkpoint) {
  const std::string path = JoinPath(checkpoint, kTrainerFile);
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto parsed = ParseJson(text, {.where = path});
  if (!parsed.ok()) return DataLoss(parsed.status().message());
  const json& fields = *parsed;
  try {
    TrainerState state;
    fields.at("step").get_to(state.step);
    fields.at("tokens").get_to(state.tokens);
    fields.at("next_sample").get_to(state.next_sample);
    fields.at("ctx_len").get_to(state.ctx_len);
    fields.at("samples_per_pass").get_to(state.samples_per_pass);
    fields.at("loss_count").get_to(state.loss.count);
    fields.at("loss_mean").get_to(state.loss.mean);
    fields.at("loss_variance").get_to(state.loss.variance);
    fields.at("last_loss").get_to(state.last_loss);
    fields.at("best_loss").get_to(state.best_loss);
    fields.at("window_steps").get_to(state.window_steps);
    fields.at("window").get_to(state.window);
    return state;
  } catch (const json::exception& error) {
    return DataLoss(path, " is not the state of a trainer: ", error.what());
  }
}

absl::Status LoadCheckpoint(const std::string& checkpoint, Transformer& model, AdamW& optimizer) {
  const std::string path = JoinPath(checkpoint, kOptimizerFile);
  RADLADS_ASSIGN_OR_RETURN(const std::unique_ptr<TensorSource> source, OpenSafetensors(path));
  std::map<std::string, Tensor> state;
  for (const TensorInfo& info : source->tensors()) {
    RADLADS_ASSIGN_OR_RETURN(state[info.name], source->Read(info.name));
  }
  const auto random = state.find(kRandomState);
  if (random == state.end()) return DataLoss(path, " has no tensor '", kRandomState, "'");
  const Tensor random_state = random->second.clone();
  state.erase(random);
  if (absl::Status status = optimizer.LoadState(state); !status.ok()) return Annotate(status, path);
  RADLADS_RETURN_IF_ERROR(LoadWeights(checkpoint, model));
  try {
    RandomGenerator().set_state(random_state);
  } catch (const c10::Error& error) {
    return DataLoss(path, ": '", kRandomState,
                    "' is not the state of this LibTorch's generator: ", error.what_without_backtrace());
  }
  return absl::OkStatus();
}

}  // namespace radlads
