// Perplexity on held-out tokens while training: student and teacher on the same windows.
#ifndef RADLADS_DISTILL_VALIDATION_H_
#define RADLADS_DISTILL_VALIDATION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/sampler.h"
#include "distill/trainer.h"
#include "model/transformer.h"

namespace radlads {

class Validation {
 public:
  // Windows of ctx + 1 tokens of the dataset `prefix`, in order and without overlap, as many as hold `tokens` scored tokens (0: all).
  // INVALID_ARGUMENT when not even one fits or an id is outside of `vocabulary_size`.
  static absl::StatusOr<Validation> Open(const std::string& prefix, int64_t ctx, int64_t tokens, int64_t vocabulary_size);

  // Mean negative log likelihood in nats of every token of the windows but their first.
  absl::StatusOr<double> NegativeLogLikelihood(Transformer& model) const;

  // validation_loss and validation_perplexity of the student; with a teacher, which is scored once, its two as well and
  // perplexity_ratio, the student's over the teacher's.
  absl::StatusOr<Metrics> Score(Transformer& student, Transformer* teacher);

  int64_t tokens() const { return windows_ * batches_->ctx(); }

 private:
  Validation(std::shared_ptr<const Batches> batches, int64_t windows) : batches_(std::move(batches)), windows_(windows) {}
  std::shared_ptr<const Batches> batches_;
  int64_t windows_;
  std::optional<double> teacher_loss_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_VALIDATION_H_
