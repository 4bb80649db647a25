#include "model/token_score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/linear_loss/linear_loss_cpu.h"

namespace radlads {
namespace {

// The `count` largest of `logits`, the lowest ids among equals.
std::vector<std::pair<int64_t, float>> Largest(std::span<const float> logits, int64_t count) {
  std::vector<std::pair<int64_t, float>> largest;  // by falling logit
  const auto before = [](const auto& a, const auto& b) { return a.second > b.second; };
  const size_t size = std::min<size_t>(count, logits.size());
  for (size_t id = 0; id < logits.size() && size > 0; ++id) {
    if (largest.size() == size && !(logits[id] > largest.back().second)) continue;
    if (largest.size() == size) largest.pop_back();
    const std::pair<int64_t, float> entry(id, logits[id]);
    largest.insert(std::upper_bound(largest.begin(), largest.end(), entry, before), entry);
  }
  return largest;
}

}  // namespace

absl::StatusOr<std::vector<TokenScore>> ScoreLogits(at::Tensor logits, const std::vector<RowQuestion>& questions) {
  RADLADS_CHECK(logits.dim() == 2) << "logits must be [N,W], found " << logits.sizes();
  logits = logits.to(at::kFloat).contiguous();
  const int64_t rows = logits.size(0), width = logits.size(1);
  float* const data = logits.mutable_data_ptr<float>();
  const auto row = [&](int64_t index) { return std::span<const float>(data + index * width, width); };
  const at::Tensor row_largest = logits.amax(1);
  const std::span<const float> largest(row_largest.const_data_ptr<float>(), rows);
  for (float logit : largest) {
    if (!std::isfinite(logit))
      return DataLoss("the largest logit is ", logit, "; the model's weights or state are damaged");
  }
  std::vector<int64_t> best(rows);
  std::vector<double> log_sum(rows);  // of exp(logit - largest)
  ParallelFor(rows, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      best[i] = std::find(row(i).begin(), row(i).end(), largest[i]) - row(i).begin();
      // It is the cross entropy of the likeliest token.
      LossRowsCpu({.rows = 1, .vocabulary = width, .student = data + i * width, .labels = &best[i]}, nullptr,
                  &log_sum[i]);
    }
  });
  std::vector<TokenScore> scores(questions.size());
  ParallelFor(static_cast<int64_t>(questions.size()), 4, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const RowQuestion& question = questions[i];
      const std::span<const float> of_row = row(question.row);
      TokenScore& score = scores[i];
      const auto normalise = [&](double logit) {
        return static_cast<float>(logit - largest[question.row] - log_sum[question.row]);
      };
      score.best = best[question.row];
      score.best_logprob = normalise(of_row[score.best]);
      if (question.target >= 0) score.logprob = normalise(of_row[question.target]);
      if (question.top == 1) score.top = {{score.best, score.best_logprob}};
      if (question.top <= 1) continue;
      score.top = Largest(of_row, question.top);
      for (auto& [id, logprob] : score.top) logprob = normalise(logprob);
    }
  });
  return scores;
}

}  // namespace radlads
