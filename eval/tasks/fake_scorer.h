// A model whose answers are a function of the token ids: the one of eval/testdata/make_goldens.py.
#ifndef RADLADS_EVAL_TASKS_FAKE_SCORER_H_
#define RADLADS_EVAL_TASKS_FAKE_SCORER_H_

#include <algorithm>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eval/scorer.h"

namespace radlads {

class FakeScorer : public Scorer {
 public:
  explicit FakeScorer(int64_t prefix_token) : prefix_token_(prefix_token) {}

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      const std::vector<LoglikelihoodRequest>& requests, const ScorerCallback<LoglikelihoodResult>& done) override {
    return Each<LoglikelihoodResult>(requests, done, [&](const LoglikelihoodRequest& request) { return One(request); });
  }

  absl::StatusOr<std::vector<double>> LoglikelihoodRolling(const std::vector<std::vector<int64_t>>& documents,
                                                           const ScorerCallback<double>& done) override {
    return Each<double>(documents, done, [&](const std::vector<int64_t>& document) {
      double sum = 0;
      for (const LoglikelihoodRequest& window : Windows(document)) sum += One(window).logprob;
      return sum;
    });
  }

  absl::StatusOr<std::vector<std::string>> GenerateUntil(const std::vector<GenerateRequest>& requests,
                                                         const ScorerCallback<std::string>& done) override {
    return Each<std::string>(requests, done, [](const GenerateRequest& request) {
      constexpr const char* kAnswers[] = {"3", "four", "#### 7", " Ten.", "eight", "2,", "Eleven", "five\n"};
      return std::string(kAnswers[Mixed(request.prompt, {}) % 8]);
    });
  }

  int64_t max_length() const override { return 48; }
  int64_t prefix_token() const override { return prefix_token_; }

  int64_t answered = 0;
  int64_t fail_after = INT64_MAX;  // requests; then every call is an error
  std::stop_token stop;            // once requested, too

 protected:
  // Calls `answer` for each request, and `done` after it.
  template <typename Result, typename Request, typename Answer>
  absl::StatusOr<std::vector<Result>> Each(const std::vector<Request>& requests, const ScorerCallback<Result>& done,
                                           const Answer& answer) {
    std::vector<Result> results;
    for (const Request& request : requests) {
      if (stop.stop_requested()) return absl::CancelledError("stopped");
      if (answered >= fail_after) return absl::DataLossError("the fake scorer was told to fail");
      results.push_back(answer(request));
      ++answered;
      if (done) done(static_cast<int64_t>(results.size()) - 1, results.back());
    }
    return results;
  }

 private:
  static int64_t Mixed(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    int64_t hash = 0;
    for (const auto* ids : {&a, &b}) {
      for (const int64_t id : *ids) hash = (hash * 31 + id + 7) % 1000003;
    }
    return hash;
  }

  LoglikelihoodResult One(LoglikelihoodRequest request) const {
    if (request.context.empty()) request.context = {prefix_token_};
    const int64_t hash = Mixed(request.context, request.continuation);
    const auto tokens = static_cast<double>(request.continuation.size());
    return {.logprob = -(hash % 10007) / 1000.0 * tokens, .is_greedy = hash % 3 == 0};
  }

  // Every window but the first is as long as it may be and has one token before it, except that the last has as many as
  // fit.
  std::vector<LoglikelihoodRequest> Windows(const std::vector<int64_t>& ids) const {
    std::vector<LoglikelihoodRequest> windows;
    const auto size = static_cast<int64_t>(ids.size());
    for (int64_t done = 0; done < size;) {
      const int64_t end = std::min(size, done + max_length());
      LoglikelihoodRequest& window = windows.emplace_back();
      window.continuation.assign(ids.begin() + done, ids.begin() + end);
      if (done == 0) window.context = {prefix_token_};
      if (done > 0) window.context.assign(ids.begin() + (end - max_length() - 1), ids.begin() + done);
      done = end;
    }
    return windows;
  }

  const int64_t prefix_token_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_FAKE_SCORER_H_
