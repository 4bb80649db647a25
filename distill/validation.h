// Perplexity on held-out tokens while training: student and teacher on the same windows.
#ifndef RADLADS_DISTILL_VALIDATION_H_
#define RADLADS_DISTILL_VALIDATION_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/sample_source.h"
#include "distill/trainer.h"
#include "model/transformer.h"

namespace radlads {

class Validation {
 public:
  // The first samples of `source`, which come in order (SampleOrder::kInOrder), as many as hold `tokens` scored tokens
  // (0: all).
  static absl::StatusOr<Validation> Read(const SampleSource& source, int64_t tokens);

  // validation_loss (nats per token) and validation_perplexity of the student; with a teacher, which is scored once,
  // its two as well and perplexity_ratio, the student's over the teacher's. INVALID_ARGUMENT for ids that a model does
  // not know.
  absl::StatusOr<Metrics> Score(Transformer& student, Transformer* teacher);

 private:
  explicit Validation(Tensor windows) : windows_(std::move(windows)) {}
  Tensor windows_;  // [N,T+1] int64
  std::optional<double> teacher_loss_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_VALIDATION_H_
