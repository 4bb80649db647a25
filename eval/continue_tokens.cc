#include "eval/continue_tokens.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "model/sampling.h"
#include "model/state.h"
#include "model/token_score.h"

namespace radlads {
namespace {

// Rows that step together: beyond, a step's products gain little.
constexpr int64_t kMaxRows = 64;

bool Grows(const ModelState& state) {
  return std::any_of(state.layers.begin(), state.layers.end(),
                     [](const LayerState& layer) { return layer.tensors.contains("key"); });
}

// Texts that step together.
class Cohort {
 public:
  Cohort(Transformer& model, const std::vector<ContinueRequest>& requests, const ContinueCallback& on_token,
         const ContinuedCallback& done, const WantedCallback& wanted)
      : model_(model), requests_(requests), on_token_(on_token), done_(done), wanted_(wanted) {}

  int64_t rows() const { return rows_.size(); }
  bool grows() const { return !states_.empty() && Grows(states_[0]); }
  bool Wanted(int64_t index) const { return !wanted_ || wanted_(index); }

  // Reads texts of one length, unless none is wanted any more.
  absl::Status Add(const std::vector<int64_t>& indexes, int64_t batch_tokens) {
    const auto count = static_cast<int64_t>(indexes.size());
    const auto length = static_cast<int64_t>(requests_[indexes[0]].ids.size());
    Tensor ids = at::empty({count, length}, at::kLong);
    for (int64_t row = 0; row < count; ++row) {
      const std::vector<int64_t>& from = requests_[indexes[row]].ids;
      std::copy(from.begin(), from.end(), ids[row].mutable_data_ptr<int64_t>());
    }
    ModelState state;
    Tensor hidden;
    const int64_t step = std::max<int64_t>(1, batch_tokens / count);
    for (int64_t at = 0; at < length; at += step) {
      if (std::none_of(indexes.begin(), indexes.end(), [&](int64_t index) { return Wanted(index); })) {
        return absl::OkStatus();
      }
      hidden = model_.Forward(ids.slice(1, at, std::min(at + step, length)).contiguous(), &state);
    }
    states_.push_back(std::move(state));
    hidden_.push_back(hidden.select(1, hidden.size(1) - 1));
    for (int64_t index : indexes) {
      rows_.push_back({index, TokenSampler(requests_[index].sampling)});
      rows_.back().sampler.Read(requests_[index].ids);
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (rows_.empty()) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(ModelState state, ModelState::Concat(states_));
    Tensor hidden = at::cat(hidden_, 0);  // [R,C]
    states_.clear();
    hidden_.clear();
    while (!rows_.empty()) {
      RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> kept, Step(model_.Logits(hidden)));
      if (kept.size() < rows_.size()) {
        std::vector<Row> rows;
        for (int64_t row : kept) rows.push_back(std::move(rows_[row]));
        rows_ = std::move(rows);
        if (rows_.empty()) break;
        state = state.Select(at::tensor(kept, at::kLong));
      }
      const Tensor ids = at::empty({rows(), 1}, at::kLong);
      for (int64_t row = 0; row < rows(); ++row) ids.mutable_data_ptr<int64_t>()[row] = rows_[row].last;
      hidden = model_.Forward(ids, &state).select(1, 0);
    }
    return absl::OkStatus();
  }

 private:
  struct Row {
    int64_t index;
    TokenSampler sampler;
    int64_t tokens = 0, last = -1;
  };

  // Draws a token for each row; -> the rows that go on.
  absl::StatusOr<std::vector<int64_t>> Step(Tensor logits) {
    std::vector<RowQuestion> questions;
    for (int64_t row = 0; row < rows(); ++row) {
      const ContinueRequest& request = requests_[rows_[row].index];
      RowQuestion question{.row = row, .target = -1, .top = request.top};
      if (request.sampling.temperature > 0) {
        RADLADS_ASSIGN_OR_RETURN(question.target, rows_[row].sampler.Sample(logits[row]));
      }
      questions.push_back(question);
    }
    RADLADS_ASSIGN_OR_RETURN(auto scores, ScoreLogits(std::move(logits), questions));
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < rows(); ++i) {
      Row& row = rows_[i];
      if (!Wanted(row.index)) continue;
      const ContinueRequest& request = requests_[row.index];
      if (questions[i].target < 0) scores[i].logprob = scores[i].best_logprob;
      row.last = questions[i].target < 0 ? scores[i].best : questions[i].target;
      const bool wanted = on_token_(row.index, row.last, scores[i]);
      const bool stops =
          std::find(request.stop_ids.begin(), request.stop_ids.end(), row.last) != request.stop_ids.end();
      if (wanted && !stops && ++row.tokens < request.max_tokens) {
        kept.push_back(i);
      } else {
        done_(row.index);
      }
    }
    return kept;
  }

  Transformer& model_;
  const std::vector<ContinueRequest>& requests_;
  const ContinueCallback& on_token_;
  const ContinuedCallback& done_;
  const WantedCallback& wanted_;
  std::vector<Row> rows_;
  std::vector<ModelState> states_;  // of the parts that were added
  std::vector<Tensor> hidden_;
};

}  // namespace

absl::Status ContinueTokens(Transformer& model, const std::vector<ContinueRequest>& requests, int64_t batch_tokens,
                            const ContinueCallback& on_token, const ContinuedCallback& done,
                            const WantedCallback& wanted) {
  if (batch_tokens < 1) return InvalidArgument("batch_tokens must be at least 1, found ", batch_tokens);
  std::vector<int64_t> order;
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Status status = requests[i].Check(model.config().vocab_size());
    if (!status.ok()) return Annotate(status, Concatenate("request ", i));
    order.push_back(i);
  }
  std::erase_if(order, [&](int64_t index) {
    if (requests[index].max_tokens > 0) return false;
    done(index);
    return true;
  });
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return requests[a].ids.size() > requests[b].ids.size(); });
  at::NoGradGuard no_grad;
  Cohort cohort(model, requests, on_token, done, wanted);
  for (size_t first = 0; first < order.size();) {
    const auto length = static_cast<int64_t>(requests[order[first]].ids.size());
    const int64_t room = std::max<int64_t>(1, std::min(kMaxRows - cohort.rows(), batch_tokens / length));
    std::vector<int64_t> indexes;
    for (; first < order.size() && static_cast<int64_t>(indexes.size()) < room; ++first) {
      if (static_cast<int64_t>(requests[order[first]].ids.size()) != length) break;
      if (cohort.Wanted(order[first])) indexes.push_back(order[first]);
    }
    if (!indexes.empty()) RADLADS_RETURN_IF_ERROR(cohort.Add(indexes, batch_tokens));
    if (first == order.size() || cohort.grows() || cohort.rows() >= kMaxRows) RADLADS_RETURN_IF_ERROR(cohort.Finish());
  }
  return absl::OkStatus();
}

}  // namespace radlads
