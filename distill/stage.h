// A stage of training: which parameters learn, and what the loss of a batch is. It owns no loop (that is
// trainer.h) and knows nothing of steps, rates or files.
#ifndef RADLADS_DISTILL_STAGE_H_
#define RADLADS_DISTILL_STAGE_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/config.pb.h"
#include "model/transformer.h"

namespace radlads {

struct NamedParameter {
  std::string name;  // the Hugging Face name
  Tensor tensor;     // the live parameter: a leaf that requires grad
};

struct BatchLoss {
  double loss = 0;
  // What the loss is made of, for the log: "kl", "ce", or one value per layer ("layer.07").
  std::vector<std::pair<std::string, double>> parts;
};

// Where the seconds of a batch went; parts that a stage does not have stay 0.
struct StageTimes {
  double teacher = 0, student = 0, loss = 0, backward = 0;
};

class Stage {
 public:
  virtual ~Stage() = default;
  // One or two words for progress lines: "align", "logits", "language".
  virtual std::string name() const = 0;
  // One line about what is trained against what.
  virtual std::string description() const = 0;
  // The parameters that learn, in the model's order. All others of the student do not require grad.
  virtual std::vector<NamedParameter> Trainable() const = 0;
  // Forward and backward of one micro batch: ids, labels [B,T] int64, labels[b,t] being the token after ids[b,t].
  // Adds d(scale * loss)/d(parameter) to .grad of every trainable parameter; the returned loss is not scaled.
  // A loss that is not finite is returned as it is: the caller decides. INVALID_ARGUMENT for a wrong shape or token ids
  // outside the vocabulary.
  virtual absl::StatusOr<BatchLoss> AccumulateGradients(const Tensor& ids, const Tensor& labels, double scale) = 0;
  // Of the last AccumulateGradients.
  const StageTimes& times() const { return times_; }

 protected:
  StageTimes times_;
};

// The stage that train.attention_distillation_stage names: 1 aligns mixers (stage_align.h), 2 and 21 match logits, -1 learns
// from the data, with the teacher's logits beside if there is a teacher (both stage_output.h). Marks the parameters of
// `student` that learn and freezes the rest. `teacher` may be null for -1 only. Both models must outlive the stage.
// INVALID_ARGUMENT when the teacher's vocabulary, layers or width do not fit the student's.
absl::StatusOr<std::unique_ptr<Stage>> CreateStage(const Config& config, Transformer& student, Transformer* teacher);

// INVALID_ARGUMENT unless ids and labels are [B,T] int64 within [0, vocabulary).
absl::Status CheckBatch(const Tensor& ids, const Tensor& labels, int64_t vocabulary);

}  // namespace radlads

#endif  // RADLADS_DISTILL_STAGE_H_
