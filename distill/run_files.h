// What a run leaves on disk (docs/formats/run.md):
//   config.yaml          the resolved configuration; it alone reproduces the run
//   metrics.jsonl, events.out.tfevents.*   see metrics_log.h
//   step-000500/         a checkpoint: model.safetensors (fp32) and config.json, tokenizer files,
//   optimizer.safetensors,
//                        trainer.json
//   final/               the result as a Hugging Face directory
// Checkpoints and final/ appear whole or not at all; what a killed process left half-written is never read.
#ifndef RADLADS_DISTILL_RUN_FILES_H_
#define RADLADS_DISTILL_RUN_FILES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "distill/loss_statistics.h"
#include "distill/optimizer.h"
#include "model/transformer.h"

namespace radlads {

// Everything a trainer needs to go on as if it had not stopped, besides weights and moments. All of it is exact in
// JSON.
struct TrainerState {
  int64_t step = 0;         // finished optimizer steps
  int64_t tokens = 0;       // trained on so far
  int64_t next_sample = 0;  // the data cursor: number of the first sample of the next step
  // What the order of the samples depends on; a checkpoint is refused by a run with others.
  int64_t ctx_len = 0, samples_per_pass = 0;
  LossStatistics loss;
  double last_loss = 0, best_loss = 0;
  // Sums of what was measured since the last line of metrics, over `window_steps` steps.
  int64_t window_steps = 0;
  std::map<std::string, double> window;
};

class RunFiles {
 public:
  explicit RunFiles(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string CheckpointPath(int64_t step) const;
  std::string FinalPath() const;

  // The whole checkpoint with the highest step, if there is one.
  std::optional<std::string> NewestCheckpoint() const;
  // `resume`: "auto", "never", or the path of a checkpoint or of a run that has one; see train.resume. Nothing: start
  // anew. FAILED_PRECONDITION for "never" in a run that has a checkpoint, NOT_FOUND for a path without one.
  absl::StatusOr<std::optional<std::string>> CheckpointToResume(const std::string& resume) const;

  // Removes what a process that was killed had begun to write, which would take room for ever. For the one process that
  // writes the run.
  absl::Status RemoveLeftovers() const;

  // Writes the checkpoint of state.step, then removes the oldest ones so that `keep` stay (0: all). An error (a full
  // disk) leaves the checkpoints that were there.
  absl::Status SaveCheckpoint(const TrainerState& state, Transformer& model, const AdamW& optimizer,
                              const std::string& tokenizer_from, int64_t keep) const;
  // Writes final/ in `dtype` with the state that it belongs to (trainer.json).
  absl::Status SaveFinal(const TrainerState& state, Transformer& model, at::ScalarType dtype,
                         const std::string& tokenizer_from) const;

 private:
  std::string path_;
};

absl::StatusOr<TrainerState> LoadTrainerState(const std::string& checkpoint);
// Weights, moments and torch's default random generator, strictly.
absl::Status LoadCheckpoint(const std::string& checkpoint, Transformer& model, AdamW& optimizer);

}  // namespace radlads

#endif  // RADLADS_DISTILL_RUN_FILES_H_
