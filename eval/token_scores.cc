#include "eval/token_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/status.h"
#include "eval/prefix_batches.h"
#include "model/token_score.h"

namespace radlads {
namespace {

// Memory for logits at a time.
constexpr int64_t kLogitBytes = 64 << 20;
// States are copied for each sequence that continues them. Those of softmax attention grow with their length, so a
// batch of continuations is bounded by its tokens with what they continue, too: by so many times the tokens it reads.
constexpr int64_t kContextTokens = 4;

// One call of ScoreTokens.
class Run {
 public:
  Run(Transformer& model, const std::vector<TokenScoreRequest>& requests, int64_t batch_tokens,
      const TokenScoreCallback& done, const WantedCallback& wanted)
      : model_(model),
        requests_(requests),
        batch_tokens_(batch_tokens),
        done_(done),
        wanted_(wanted),
        scores_(requests.size()) {}

  absl::Status All() {
    std::vector<std::span<const int64_t>> sequences;
    for (const TokenScoreRequest& request : requests_) sequences.emplace_back(request.ids);
    const PrefixPlan plan = PlanBatches(sequences, batch_tokens_);
    askers_.resize(requests_.size());
    for (size_t i = 0; i < requests_.size(); ++i) {
      scores_[i].resize(requests_[i].targets.size());
      askers_[plan.stand_in[i]].push_back(i);
    }
    for (const PrefixBatch& batch : plan.batches) RADLADS_RETURN_IF_ERROR(Batch(batch));
    return absl::OkStatus();
  }

 private:
  // A sequence in a batch: whose state it continues, and the requests that are answered on the way.
  struct Row {
    int64_t group, sequence;
  };

  absl::Status Batch(const PrefixBatch& batch) {
    ModelState shared;
    std::vector<Row> rows;
    std::vector<std::vector<int64_t>> askers;
    std::vector<int64_t> firsts;
    for (const std::vector<int64_t>& group : batch.groups) {
      std::vector<int64_t> of_group;
      for (int64_t sequence : group) {
        std::erase_if(askers_[sequence], [&](int64_t request) { return !Wanted(request); });
        if (askers_[sequence].empty()) continue;
        rows.push_back({static_cast<int64_t>(firsts.size()), sequence});
        of_group.insert(of_group.end(), askers_[sequence].begin(), askers_[sequence].end());
      }
      if (of_group.empty()) continue;
      firsts.push_back(rows.back().sequence);
      askers.push_back(std::move(of_group));
    }
    if (rows.empty()) return absl::OkStatus();
    if (batch.shared > 0) RADLADS_RETURN_IF_ERROR(Read(firsts, askers, 0, batch.shared, &shared));

    std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) { return Size(a) > Size(b); });
    for (size_t first = 0; first < rows.size();) {
      const int64_t end = Size(rows[first]), time = end - batch.shared;
      const int64_t fit = batch.shared == 0 ? static_cast<int64_t>(rows.size())
                                            : std::min(batch_tokens_ / time, kContextTokens * batch_tokens_ / end);
      size_t last = first + 1;
      while (last < rows.size() && static_cast<int64_t>(last - first) < fit &&
             (batch.shared == 0 || GoesWith(last - first, time, Size(rows[last]) - batch.shared))) {
        ++last;
      }
      std::vector<int64_t> sequences, groups;
      askers.clear();
      for (size_t i = first; i < last; ++i) {
        sequences.push_back(rows[i].sequence);
        groups.push_back(rows[i].group);
        askers.push_back(askers_[rows[i].sequence]);
      }
      ModelState state;
      if (batch.shared > 0) state = shared.Select(at::tensor(groups, at::kLong));
      RADLADS_RETURN_IF_ERROR(Read(sequences, askers, batch.shared, end, batch.shared > 0 ? &state : nullptr));
      for (const auto& requests : askers) {
        for (int64_t request : requests) {
          if (Wanted(request)) done_(request, std::move(scores_[request]));
        }
      }
      first = last;
    }
    return absl::OkStatus();
  }

  int64_t Size(const Row& row) const { return requests_[row.sequence].ids.size(); }

  bool Wanted(int64_t request) const { return !wanted_ || wanted_(request); }
  bool AnyWanted(const std::vector<std::vector<int64_t>>& askers) const {
    return std::any_of(askers.begin(), askers.end(), [&](const std::vector<int64_t>& requests) {
      return std::any_of(requests.begin(), requests.end(), [&](int64_t request) { return Wanted(request); });
    });
  }

  // Reads tokens [start, end) of `sequences`, shorter ones padded, and answers the questions about them. `askers` has
  // for each the requests that may have some. Stops when none of them is wanted.
  absl::Status Read(const std::vector<int64_t>& sequences, const std::vector<std::vector<int64_t>>& askers,
                    int64_t start, int64_t end, ModelState* state) {
    const auto count = static_cast<int64_t>(sequences.size());
    const int64_t step = std::max<int64_t>(1, batch_tokens_ / count);
    ModelState own;
    if (end - start > step && state == nullptr) state = &own;
    for (int64_t at = start; at < end && AnyWanted(askers); at += step) {
      const int64_t time = std::min(step, end - at);
      const Tensor ids = at::zeros({count, time}, at::kLong);
      for (int64_t row = 0; row < count; ++row) {
        const std::vector<int64_t>& from = requests_[sequences[row]].ids;
        const int64_t last = std::min<int64_t>(at + time, from.size());
        if (at < last) std::copy(from.begin() + at, from.begin() + last, ids[row].mutable_data_ptr<int64_t>());
      }
      RADLADS_RETURN_IF_ERROR(Answer(model_.Forward(ids, state).flatten(0, 1), askers, at, time));
    }
    return absl::OkStatus();
  }

  // hidden [B*T,C] of tokens [start, start + time) of each row.
  absl::Status Answer(const Tensor& hidden, const std::vector<std::vector<int64_t>>& askers, int64_t start,
                      int64_t time) {
    const int64_t step = std::max<int64_t>(1, kLogitBytes / 4 / model_.config().vocab_size());
    std::vector<int64_t> rows;  // of hidden
    std::vector<RowQuestion> questions;
    std::vector<TokenScore*> answers;
    const auto flush = [&]() -> absl::Status {
      if (rows.empty()) return absl::OkStatus();
      Tensor logits = model_.Logits(hidden.index_select(0, at::tensor(rows, at::kLong)));
      RADLADS_ASSIGN_OR_RETURN(auto scores, ScoreLogits(logits, questions));
      for (size_t i = 0; i < scores.size(); ++i) *answers[i] = std::move(scores[i]);
      rows.clear();
      questions.clear();
      answers.clear();
      return absl::OkStatus();
    };
    for (size_t row = 0; row < askers.size(); ++row) {
      for (int64_t place = start; place < start + time; ++place) {
        bool asked = false;
        for (int64_t index : askers[row]) {
          const TokenScoreRequest& request = requests_[index];
          const int64_t i = place - request.first;
          if (i < 0 || i >= static_cast<int64_t>(request.targets.size())) continue;
          if (!asked) rows.push_back(row * time + place - start);
          asked = true;
          questions.push_back({static_cast<int64_t>(rows.size()) - 1, request.targets[i], request.top});
          answers.push_back(&scores_[index][i]);
        }
        if (static_cast<int64_t>(rows.size()) == step) RADLADS_RETURN_IF_ERROR(flush());
      }
    }
    return flush();
  }

  Transformer& model_;
  const std::vector<TokenScoreRequest>& requests_;
  const int64_t batch_tokens_;
  const TokenScoreCallback& done_;
  const WantedCallback& wanted_;
  std::vector<std::vector<TokenScore>> scores_;  // by request
  std::vector<std::vector<int64_t>> askers_;     // by sequence: the requests that it stands for
};

}  // namespace

absl::Status ScoreTokens(Transformer& model, const std::vector<TokenScoreRequest>& requests, int64_t batch_tokens,
                         const TokenScoreCallback& done, const WantedCallback& wanted) {
  if (batch_tokens < 1) return InvalidArgument("batch_tokens must be at least 1, found ", batch_tokens);
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Status status = requests[i].Check(model.config().vocab_size());
    if (!status.ok()) return Annotate(status, Concatenate("request ", i));
  }
  at::NoGradGuard no_grad;
  return Run(model, requests, batch_tokens, done, wanted).All();
}

}  // namespace radlads
