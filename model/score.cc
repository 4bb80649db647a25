#include "model/score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/status.h"
#include "kernels/linear_loss/linear_loss.h"
#include "model/token_ids.h"

namespace radlads {
namespace {

// ids [B,T] int64, labels [B,T] with kIgnoredLabel where nothing is scored -> log probabilities [B,T] fp32, 0 there.
Tensor LogProbabilities(Transformer& model, const Tensor& ids, const Tensor& labels) {
  const Tensor hidden = model.Forward(ids).flatten(0, 1);
  return TokenLogProbabilities(hidden, model.HeadWeight(), labels.reshape({-1})).view(labels.sizes());
}

}  // namespace

double Score::Perplexity() const {
  return std::exp(Mean());
}

Score& Score::operator+=(const Score& other) {
  negative_log_likelihood += other.negative_log_likelihood;
  tokens += other.tokens;
  return *this;
}

absl::StatusOr<Score> ScoreWindows(Transformer& model, const Tensor& windows, int64_t batch,
                                   const ScoreProgress& progress) {
  if (windows.dim() != 2 || windows.scalar_type() != at::kLong || windows.size(1) < 2) {
    return InvalidArgument("windows must be [N,T+1] int64 with T >= 1, found ", windows.sizes(), " ",
                           windows.scalar_type());
  }
  if (batch < 1) return InvalidArgument("the batch must be at least 1, found ", batch);
  const Tensor ids = windows.cpu().contiguous();
  RADLADS_RETURN_IF_ERROR(
      CheckTokenIds({ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())}, model.config().vocab_size()));
  at::NoGradGuard no_grad;
  Score score;
  for (int64_t first = 0; first < windows.size(0); first += batch) {
    const Tensor rows = windows.slice(0, first, std::min(first + batch, windows.size(0)));
    const Tensor ids = rows.slice(1, 0, -1).contiguous(), labels = rows.slice(1, 1).contiguous();
    score.negative_log_likelihood -= LogProbabilities(model, ids, labels).sum(at::kDouble).item<double>();
    score.tokens += labels.numel();
    if (progress) progress(score);
  }
  return score;
}

absl::StatusOr<std::vector<Score>> ScoreDocuments(Transformer& model,
                                                  const std::vector<std::vector<int64_t>>& documents, int64_t batch,
                                                  const ScoreProgress& progress) {
  if (batch < 1) return InvalidArgument("the batch must be at least 1, found ", batch);
  for (const auto& document : documents) {
    RADLADS_RETURN_IF_ERROR(CheckTokenIds(document, model.config().vocab_size()));
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < documents.size(); ++i) {
    if (documents[i].size() >= 2) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return documents[a].size() > documents[b].size(); });

  at::NoGradGuard no_grad;
  std::vector<Score> scores(documents.size());
  Score so_far;
  for (size_t first = 0; first < order.size(); first += batch) {
    const size_t count = std::min<size_t>(batch, order.size() - first);
    const int64_t time = documents[order[first]].size() - 1;
    Tensor ids = at::zeros({static_cast<int64_t>(count), time}, at::kLong);
    Tensor labels = at::full({static_cast<int64_t>(count), time}, kIgnoredLabel, at::kLong);
    for (size_t row = 0; row < count; ++row) {
      const auto& document = documents[order[first + row]];
      std::copy(document.begin(), document.end() - 1, ids[row].mutable_data_ptr<int64_t>());
      std::copy(document.begin() + 1, document.end(), labels[row].mutable_data_ptr<int64_t>());
    }
    const Tensor sums = LogProbabilities(model, ids, labels).sum(1, false, at::kDouble);
    for (size_t row = 0; row < count; ++row) {
      Score& score = scores[order[first + row]];
      score.negative_log_likelihood = -sums[row].item<double>();
      score.tokens = documents[order[first + row]].size() - 1;
      so_far += score;
    }
    if (progress) progress(so_far);
  }
  return scores;
}

}  // namespace radlads
