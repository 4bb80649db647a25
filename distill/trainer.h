// The loop of training, the only one: batches in, gradients from a Stage, clipped AdamW steps, checkpoints and logs
// out. It knows no stage by name.
//
// A step takes the global batch of the recipe, devices * num_nodes * micro_bsz * accumulate_grad_batches samples,
// numbered from the data cursor on. One process holds micro_bsz of them at a time and accumulates the rest, so the
// number of processes changes the speed and not the result. A run that was stopped anywhere and resumed from its
// checkpoint goes on bit for bit as if it had not been, on a CPU with as many threads.
#ifndef RADLADS_DISTILL_TRAINER_H_
#define RADLADS_DISTILL_TRAINER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/progress.h"
#include "configs/config.pb.h"
#include "data/batches.h"
#include "distill/metrics_log.h"
#include "distill/optimizer.h"
#include "distill/run_files.h"
#include "distill/schedule.h"
#include "distill/stage.h"
#include "model/transformer.h"

namespace radlads {

using Metrics = std::vector<std::pair<std::string, double>>;

class Trainer {
 public:
  // Scores the held-out tokens; called at the start, every val_check_interval steps and at the end.
  using Validate = std::function<absl::StatusOr<Metrics>()>;

  // `config` is one run (no pipeline). student, stage and data must outlive the trainer. `validate` may be empty.
  // Resumes as train.resume says (see run_files.h) and reports what it does on the log.
  // INVALID_ARGUMENT for a schedule that makes no sense, FAILED_PRECONDITION for a checkpoint of other data or of a run
  // that went further.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const Config& config, Transformer& student, Stage& stage,
                                                         std::shared_ptr<const Batches> data, RunFiles files,
                                                         std::string tokenizer_from, Validate validate);

  // Trains to the end and leaves a checkpoint of the last step. Stops before with
  //   CANCELLED        after SIGINT or SIGTERM: the step in hand is finished and a checkpoint written;
  //   OUT_OF_RANGE     the loss or a gradient is not a number, or the loss jumped (train.spike_threshold): the
  //                    message names step, layer or parameter, and the batch; nothing of the bad step is applied or
  //                    saved;
  //   another error    a file could not be written; older checkpoints are intact.
  absl::Status Run();

  const TrainerState& state() const { return state_; }
  int64_t total_steps() const { return schedule_.TotalSteps(); }
  int64_t micro_batches() const { return micro_batches_; }
  const AdamW& optimizer() const { return optimizer_; }

 private:
  Trainer(const Config& config, Transformer& student, Stage& stage, std::shared_ptr<const Batches> data, RunFiles files,
          std::string tokenizer_from, Validate validate, Schedule schedule, int64_t micro_batches);
  absl::Status Resume();
  absl::Status Step();
  absl::Status WriteMetrics();
  absl::Status Score();
  absl::Status Save();
  bool SaveIsDue(int64_t samples_before) const;
  // The error of a bad step. `what` says what is wrong with it.
  absl::Status BadStep(const std::string& what, const BatchLoss& loss, const Batch& batch);

  const Config config_;
  Transformer& student_;
  Stage& stage_;
  const std::shared_ptr<const Batches> data_;
  const RunFiles files_;
  const std::string tokenizer_from_;
  const Validate validate_;
  const Schedule schedule_;
  const int64_t micro_batches_;  // of micro_bsz samples, per step
  AdamW optimizer_;
  TrainerState state_;
  std::unique_ptr<MetricsLog> log_;
  Rates rates_;                // of the last step
  double window_seconds_ = 0;  // of the steps since the last line of metrics in this process
  int64_t window_tokens_ = 0;  // and their tokens
};

// Samples in one step of the recipe.
int64_t GlobalBatch(const TrainConfig& train);

}  // namespace radlads

#endif  // RADLADS_DISTILL_TRAINER_H_
