#include "eval/scorer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "eval/continue_tokens.h"
#include "eval/growing_text.h"
#include "eval/token_scores.h"
#include "model/token_ids.h"

namespace radlads {
namespace {

// lm_eval's, for a model that does not say.
constexpr int64_t kDefaultMaxLength = 2048;

class ModelScorer : public Scorer {
 public:
  ModelScorer(Transformer& model, const Tokenizer& tokenizer, const ScorerOptions& options, int64_t max_length,
              int64_t prefix_token)
      : model_(model),
        tokenizer_(tokenizer.shared_from_this()),
        batch_tokens_(options.batch_tokens),
        max_length_(max_length),
        prefix_token_(prefix_token) {}

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      const std::vector<LoglikelihoodRequest>& requests, const ScorerCallback<LoglikelihoodResult>& done) override {
    std::vector<TokenScoreRequest> questions;
    for (size_t i = 0; i < requests.size(); ++i) {
      auto question = Question(requests[i]);
      if (!question.ok()) return Annotate(question.status(), Concatenate("request ", i));
      questions.push_back(*std::move(question));
    }
    std::vector<LoglikelihoodResult> results(requests.size());
    RADLADS_RETURN_IF_ERROR(
        ScoreTokens(model_, questions, batch_tokens_, [&](int64_t index, std::vector<TokenScore> scores) {
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
      for (LoglikelihoodRequest& window : RollingWindows(documents[i], prefix_token_, max_length_)) {
        const absl::Status ids =
            CheckTokenIds(window.continuation, model_.config().vocab_size());
        if (!ids.ok()) return Annotate(ids, Concatenate("document ", i));
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
      const GenerateRequest& request = requests[i];
      if (request.max_new_tokens >= max_length_) {
        return InvalidArgument("request ", i, ": max_new_tokens is ", request.max_new_tokens,
                               " and leaves no room for a prompt in a context of ", max_length_, " tokens");
      }
      const int64_t excess = static_cast<int64_t>(request.prompt.size()) - (max_length_ - request.max_new_tokens);
      ContinueRequest prompt;
      prompt.ids.assign(request.prompt.begin() + std::max<int64_t>(excess, 0), request.prompt.end());
      prompt.max_tokens = request.max_new_tokens;
      prompt.sampling = request.sampling;
      prompt.stop_ids = StopIds(*tokenizer_, request.until);
      prompts.push_back(std::move(prompt));
      texts.emplace_back(tokenizer_, request.until);
    }
    const auto on_token = [&](int64_t index, int64_t id, const TokenScore&) { return texts[index].Append(id); };
    RADLADS_RETURN_IF_ERROR(ContinueTokens(model_, prompts, batch_tokens_, on_token, [&](int64_t index) {
      texts[index].Finish();
      if (done) done(index, texts[index].text());
    }));
    std::vector<std::string> results;
    for (const GrowingText& text : texts) results.push_back(text.text());
    return results;
  }

  int64_t max_length() const override { return max_length_; }
  int64_t prefix_token() const override { return prefix_token_; }

 private:
  // What the model reads and is asked for.
  absl::StatusOr<TokenScoreRequest> Question(const LoglikelihoodRequest& request) const {
    std::vector<int64_t> all = request.context;
    int64_t scored = request.continuation.size();
    if (all.empty()) {
      if (scored > 0 && request.continuation[0] == prefix_token_) {
        --scored;
      } else {
        all.push_back(prefix_token_);
      }
    }
    if (scored == 0) return InvalidArgument("the continuation has no token to score");
    if (scored > max_length_) {
      return InvalidArgument("the continuation has ", scored, " tokens, the context of the model is ", max_length_);
    }
    all.insert(all.end(), request.continuation.begin(), request.continuation.end());
    RADLADS_RETURN_IF_ERROR(CheckTokenIds(all, model_.config().vocab_size()));
    if (static_cast<int64_t>(all.size()) > max_length_ + 1) all.erase(all.begin(), all.end() - (max_length_ + 1));
    TokenScoreRequest question;
    question.targets.assign(all.end() - scored, all.end());
    all.pop_back();
    question.first = static_cast<int64_t>(all.size()) - scored;
    question.ids = std::move(all);
    return question;
  }

  Transformer& model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int64_t batch_tokens_, max_length_, prefix_token_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(Transformer& model, const Tokenizer& tokenizer,
                                                   const ScorerOptions& options) {
  if (options.batch_tokens < 1) return InvalidArgument("batch_tokens must be at least 1, found ", options.batch_tokens);
  if (options.max_length < 0) return InvalidArgument("max_length must be 0 or more, found ", options.max_length);
  const std::optional<int32_t> prefix = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
  if (!prefix) {
    return InvalidArgument(
        "the tokenizer names neither a begin-of-text nor an end-of-text token; "
        "add eos_token to its tokenizer_config.json");
  }
  const ModelConfig& config = model.config();
  const int64_t max_length = options.max_length > 0                 ? options.max_length
                             : config.max_position_embeddings() > 0 ? config.max_position_embeddings()
                                                                    : kDefaultMaxLength;
  return std::make_unique<ModelScorer>(model, tokenizer, options, max_length, *prefix);
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
