#include "distill/validation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "base/status.h"
#include "data/binidx.h"
#include "data/sampler.h"
#include "model/score.h"

namespace radlads {

absl::StatusOr<Validation> Validation::Open(const std::string& prefix, int64_t ctx, int64_t tokens) {
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(prefix));
  const auto sampler = SequentialSampler::Create(dataset->tokens(), ctx);
  if (!sampler.ok()) return Annotate(sampler.status(), "train.validation_data_file " + prefix);
  int64_t count = (*sampler)->samples_per_pass();
  if (tokens > 0) count = std::min(count, (tokens + ctx - 1) / ctx);
  Tensor windows = at::empty({count, ctx + 1}, at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const std::span<int64_t> row(windows.data_ptr<int64_t>() + i * (ctx + 1), ctx + 1);
    RADLADS_RETURN_IF_ERROR(dataset->Read((*sampler)->Position(i), row));
  }
  return Validation(std::move(windows));
}

absl::StatusOr<Metrics> Validation::Score(Transformer& student, Transformer* teacher) {
  RADLADS_ASSIGN_OR_RETURN(const radlads::Score score, ScoreWindows(student, windows_, 1));
  const double loss = score.Mean();
  Metrics metrics = {{"validation_loss", loss}, {"validation_perplexity", std::exp(loss)}};
  if (teacher == nullptr) return metrics;
  if (!teacher_loss_) {
    RADLADS_ASSIGN_OR_RETURN(const radlads::Score of_teacher, ScoreWindows(*teacher, windows_, 1));
    teacher_loss_ = of_teacher.Mean();
  }
  metrics.emplace_back("teacher_validation_loss", *teacher_loss_);
  metrics.emplace_back("teacher_validation_perplexity", std::exp(*teacher_loss_));
  metrics.emplace_back("perplexity_ratio", std::exp(loss - *teacher_loss_));
  return metrics;
}

}  // namespace radlads
