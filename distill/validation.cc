#include "distill/validation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/status.h"
#include "model/score.h"

namespace radlads {

absl::StatusOr<Validation> Validation::Read(const SampleSource& source, int64_t tokens) {
  const int64_t ctx = source.ctx();
  int64_t count = source.sampler().samples_per_pass();
  if (tokens > 0) count = std::min(count, (tokens + ctx - 1) / ctx);
  Tensor windows = at::empty({count, ctx + 1}, at::kInt);
  std::vector<SampleRow> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back({i, windows.data_ptr<int32_t>() + i * (ctx + 1)});
  RADLADS_RETURN_IF_ERROR(source.Read(rows));
  return Validation(windows.to(at::kLong));
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
