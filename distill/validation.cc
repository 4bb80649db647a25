#include "distill/validation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "data/binidx.h"
#include "kernels/linear_loss/linear_loss.h"

namespace radlads {

absl::StatusOr<Validation> Validation::Open(const std::string& prefix, int64_t ctx, int64_t tokens, int64_t vocabulary_size) {
  RADLADS_ASSIGN_OR_RETURN(auto dataset, TokenDataset::Open(prefix));
  auto sampler = SequentialSampler::Create(dataset->tokens(), ctx);
  if (!sampler.ok()) return Annotate(sampler.status(), "train.validation_data_file " + prefix);
  int64_t windows = (*sampler)->samples_per_pass();
  if (tokens > 0) windows = std::min(windows, (tokens + ctx - 1) / ctx);
  return Validation(std::make_shared<const Batches>(dataset, std::shared_ptr<const Sampler>(std::move(*sampler)), ctx, vocabulary_size), windows);
}

absl::StatusOr<double> Validation::NegativeLogLikelihood(Transformer& model) const {
  at::NoGradGuard no_grad;
  double sum = 0;
  Batch batch;
  for (int64_t window = 0; window < windows_; ++window) {
    RADLADS_RETURN_IF_ERROR(batches_->Read(window, 1, 1, &batch));
    const Tensor ids = at::from_blob(batch.inputs.data(), {1, batch.ctx}, at::kLong);
    const Tensor labels = at::from_blob(batch.labels.data(), {batch.ctx}, at::kLong);
    const Tensor hidden = model.Forward(ids).flatten(0, 1);
    sum -= TokenLogProbabilities(hidden, model.HeadWeight(), labels).sum(at::kDouble).item<double>();
  }
  return sum / static_cast<double>(tokens());
}

absl::StatusOr<Metrics> Validation::Score(Transformer& student, Transformer* teacher) {
  RADLADS_ASSIGN_OR_RETURN(const double loss, NegativeLogLikelihood(student));
  Metrics metrics = {{"validation_loss", loss}, {"validation_perplexity", std::exp(loss)}};
  if (teacher == nullptr) return metrics;
  if (!teacher_loss_) {
    RADLADS_ASSIGN_OR_RETURN(teacher_loss_, NegativeLogLikelihood(*teacher));
  }
  metrics.emplace_back("teacher_validation_loss", *teacher_loss_);
  metrics.emplace_back("teacher_validation_perplexity", std::exp(*teacher_loss_));
  metrics.emplace_back("perplexity_ratio", std::exp(loss - *teacher_loss_));
  return metrics;
}

}  // namespace radlads
