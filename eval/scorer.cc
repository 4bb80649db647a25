#include "eval/scorer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "model/token_ids.h"
#include "serve/text/growing_text.h"

namespace radlads {
namespace {

// What the model reads and is asked for.
absl::StatusOr<TokenScoreRequest> Question(const LoglikelihoodRequest& request, const ScorerLimits& limits) {
  std::vector<int64_t> all = request.context;
  int64_t scored = request.continuation.size();
  if (all.empty()) {
    if (scored > 0 && request.continuation[0] == limits.prefix_token) {
      --scored;
    } else {
      all.push_back(limits.prefix_token);
    }
  }
  if (scored == 0) return InvalidArgument("the continuation has no token to score");
  if (scored > limits.max_length) {
    return InvalidArgument("the continuation has ", scored, " tokens, the context of the model is ", limits.max_length);
  }
  all.insert(all.end(), request.continuation.begin(), request.continuation.end());
  RADLADS_RETURN_IF_ERROR(CheckTokenIds(all, limits.vocabulary));
  const int64_t most = limits.max_length + 1;
  if (static_cast<int64_t>(all.size()) > most) all.erase(all.begin(), all.end() - most);
  TokenScoreRequest question;
  question.targets.assign(all.end() - scored, all.end());
  all.pop_back();
  question.first = static_cast<int64_t>(all.size()) - scored;
  question.ids = std::move(all);
  return question;
}

// But for the stop tokens.
absl::StatusOr<ContinueRequest> Prompt(const GenerateRequest& request, const ScorerLimits& limits) {
  if (request.max_new_tokens >= limits.max_length) {
    return InvalidArgument("max_new_tokens is ", request.max_new_tokens,
                           " and leaves no room for a prompt in a context of ", limits.max_length, " tokens");
  }
  if (request.max_new_tokens < 0) return InvalidArgument("max_new_tokens is ", request.max_new_tokens, ", below 0");
  const int64_t excess = static_cast<int64_t>(request.prompt.size()) - (limits.max_length - request.max_new_tokens);
  ContinueRequest prompt;
  prompt.ids.assign(request.prompt.begin() + std::max<int64_t>(excess, 0), request.prompt.end());
  prompt.max_tokens = request.max_new_tokens;
  prompt.sampling = request.sampling;
  RADLADS_RETURN_IF_ERROR(prompt.Check(limits.vocabulary));
  return prompt;
}

class ModelScorer : public Scorer {
 public:
  ModelScorer(std::unique_ptr<TokenModel> model, const Tokenizer& tokenizer, const ScorerLimits& limits)
      : model_(std::move(model)), tokenizer_(tokenizer.shared_from_this()), limits_(limits) {}

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      const std::vector<LoglikelihoodRequest>& requests, const ScorerCallback<LoglikelihoodResult>& done) override {
    std::vector<TokenScoreRequest> questions;
    for (size_t i = 0; i < requests.size(); ++i) {
      auto question = Question(requests[i], limits_);
      if (!question.ok()) return Annotate(question.status(), Concatenate("request ", i));
      questions.push_back(*std::move(question));
    }
    std::vector<LoglikelihoodResult> results(requests.size());
    RADLADS_RETURN_IF_ERROR(model_->Score(questions, [&](int64_t index, std::vector<TokenScore> scores) {
      LoglikelihoodResult& result = results[index];
      result.is_greedy = true;
      for (size_t i = 0; i < scores.size(); ++i) {
        result.logprob += scores[i].logprob;
        result.is_greedy = result.is_greedy && scores[i].best == questions[index].targets[i];
      }
      if (done) done(index, result);
    }));
    return results;
  }

  absl::StatusOr<std::vector<double>> LoglikelihoodRolling(const std::vector<std::vector<int64_t>>& documents,
                                                           const ScorerCallback<double>& done) override {
    std::vector<LoglikelihoodRequest> windows;
    std::vector<size_t> document_of;  // by window
    std::vector<int64_t> waiting(documents.size());
    std::vector<double> sums(documents.size());
    for (size_t i = 0; i < documents.size(); ++i) {
      const absl::Status checked = limits_.Check(documents[i]);
      if (!checked.ok()) return Annotate(checked, Concatenate("document ", i));
      for (LoglikelihoodRequest& window : RollingWindows(documents[i], limits_.prefix_token, limits_.max_length)) {
        windows.push_back(std::move(window));
        document_of.push_back(i);
        ++waiting[i];
      }
      if (waiting[i] == 0 && done) done(i, 0);
    }
    auto results = Loglikelihood(windows, [&](int64_t window, const LoglikelihoodResult& result) {
      const size_t document = document_of[window];
      sums[document] += result.logprob;
      if (--waiting[document] == 0 && done) done(document, sums[document]);
    });
    if (!results.ok()) return results.status();
    return sums;
  }

  absl::StatusOr<std::vector<std::string>> GenerateUntil(const std::vector<GenerateRequest>& requests,
                                                         const ScorerCallback<std::string>& done) override {
    std::vector<ContinueRequest> prompts;
    std::vector<GrowingText> texts;
    for (size_t i = 0; i < requests.size(); ++i) {
      auto prompt = Prompt(requests[i], limits_);
      if (!prompt.ok()) return Annotate(prompt.status(), Concatenate("request ", i));
      prompt->stop_ids = StopIds(*tokenizer_, requests[i].until);
      prompts.push_back(*std::move(prompt));
      texts.emplace_back(tokenizer_, requests[i].until);
    }
    const auto on_token = [&](int64_t index, int64_t id, const TokenScore&) { return texts[index].Append(id); };
    RADLADS_RETURN_IF_ERROR(model_->Continue(prompts, on_token, [&](int64_t index) {
      texts[index].Finish();
      if (done) done(index, texts[index].text());
    }));
    std::vector<std::string> results;
    for (const GrowingText& text : texts) results.push_back(text.text());
    return results;
  }

  int64_t max_length() const override { return limits_.max_length; }
  int64_t prefix_token() const override { return limits_.prefix_token; }

 private:
  const std::unique_ptr<TokenModel> model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const ScorerLimits limits_;
};

}  // namespace

absl::Status ScorerLimits::Check(const LoglikelihoodRequest& request) const {
  return Question(request, *this).status();
}
absl::Status ScorerLimits::Check(const std::vector<int64_t>& document) const {
  return CheckTokenIds(document, vocabulary);
}
absl::Status ScorerLimits::Check(const GenerateRequest& request) const {
  return Prompt(request, *this).status();
}

absl::StatusOr<ScorerLimits> LimitsOf(const TokenModel& model, const Tokenizer& tokenizer) {
  const std::optional<int32_t> prefix = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
  if (prefix) return ScorerLimits{model.vocabulary(), model.max_length(), *prefix};
  return InvalidArgument(
      "the tokenizer names neither a begin-of-text nor an end-of-text token; "
      "add eos_token to its tokenizer_config.json");
}

absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(std::unique_ptr<TokenModel> model, const Tokenizer& tokenizer) {
  RADLADS_ASSIGN_OR_RETURN(const ScorerLimits limits, LimitsOf(*model, tokenizer));
  return std::make_unique<ModelScorer>(std::move(model), tokenizer, limits);
}

absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(Transformer& model, const Tokenizer& tokenizer,
                                                   const TokenModelOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(auto token_model, MakeTokenModel(model, options));
  return MakeScorer(std::move(token_model), tokenizer);
}

std::vector<LoglikelihoodRequest> RollingWindows(const std::vector<int64_t>& document, int64_t prefix_token,
                                                 int64_t max_length) {
  RADLADS_CHECK(max_length >= 1) << "max_length " << max_length;
  std::vector<LoglikelihoodRequest> windows;
  const auto size = static_cast<int64_t>(document.size());
  for (int64_t first = 0; first < size; first += max_length) {
    const int64_t last = std::min(first + max_length, size);
    LoglikelihoodRequest window;
    window.continuation.assign(document.begin() + first, document.begin() + last);
    // The window that the model reads has max_length tokens, if there are as many before the last.
    if (first == 0) {
      window.context = {prefix_token};
    } else {
      window.context.assign(document.begin() + (last - max_length - 1), document.begin() + first);
    }
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace radlads
