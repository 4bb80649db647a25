#include "eval/completion_model.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "serve/text/growing_text.h"

namespace radlads {
namespace {

CompletionToken Token(int64_t id, const CompletionRequest& request, TokenScore score) {
  CompletionToken token{.id = id};
  if (!request.logprobs) return token;
  token.logprob = score.logprob;
  token.top = std::move(score.top);
  const bool named =
      std::any_of(token.top.begin(), token.top.end(), [id](const auto& entry) { return entry.first == id; });
  if (!named) token.top.emplace_back(id, score.logprob);
  return token;
}

// Without the prompt and what ends the text.
ContinueRequest Continuation(const CompletionRequest& request) {
  return {.max_tokens = request.max_tokens,
          .sampling = request.sampling,
          .min_tokens = request.min_tokens,
          .top = request.logprobs.value_or(0)};
}

// The likeliest token after the prompt comes with the scores of the prompt.
bool GeneratesFromScores(const CompletionRequest& request) {
  return request.max_tokens == 1 && Continuation(request).TakesLikeliest();
}

TokenScoreRequest Question(const CompletionRequest& request) {
  TokenScoreRequest question{.ids = request.prompt};
  const bool all = request.echo && request.logprobs;
  question.first = all ? 0 : static_cast<int64_t>(request.prompt.size()) - 1;
  question.targets.assign(request.prompt.begin() + question.first + 1, request.prompt.end());
  question.targets.push_back(-1);
  question.top = request.logprobs.value_or(0);
  return question;
}

// The text of one completion as it is generated.
class Generated {
 public:
  Generated(const CompletionRequest& request, const std::shared_ptr<const Tokenizer>& tokenizer, Completion* completion)
      : request_(request),
        stop_ids_(StopIds(*tokenizer, request.stop, request.stop_ids, request.ignore_eos)),
        text_(tokenizer, request.stop),
        completion_(completion) {}

  ContinueRequest Prompt() const {
    ContinueRequest prompt = Continuation(request_);
    prompt.ids = request_.prompt;
    prompt.stop_ids = stop_ids_;
    return prompt;
  }

  // Whether it goes on after `id`.
  bool Append(int64_t id, const TokenScore& score) {
    const bool watch = static_cast<int64_t>(completion_->generated.size()) >= request_.min_tokens;
    completion_->generated.push_back(Token(id, request_, score));
    completion_->stopped = std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
    return !completion_->stopped && text_.Append(id, watch);
  }

  void Finish() {
    text_.Finish();
    completion_->stopped |= text_.ended();
    completion_->text = text_.text();
  }

 private:
  const CompletionRequest& request_;
  const std::vector<int64_t> stop_ids_;
  GrowingText text_;
  Completion* const completion_;
};

class QueueCompletions : public CompletionModel {
 public:
  QueueCompletions(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer)
      : queue_(queue), tokenizer_(std::move(tokenizer)) {}

  absl::StatusOr<std::vector<Completion>> Complete(std::vector<CompletionRequest> requests,
                                                   const CancelledCallback& cancelled) override {
    std::vector<Completion> completions(requests.size());
    std::vector<TokenScoreRequest> questions;
    std::vector<ContinueRequest> prompts;
    std::vector<size_t> asked;  // by question: the request
    std::vector<Generated> begun;
    for (size_t i = 0; i < requests.size(); ++i) {
      const CompletionRequest& request = requests[i];
      if (request.max_tokens > 0 && !GeneratesFromScores(request)) {
        begun.emplace_back(request, tokenizer_, &completions[i]);
        prompts.push_back(begun.back().Prompt());
      }
      if (request.max_tokens == 0 || GeneratesFromScores(request) || (request.echo && request.logprobs)) {
        asked.push_back(i);
        questions.push_back(Question(request));
      } else if (request.echo) {
        for (int64_t id : request.prompt) completions[i].prompt.push_back({.id = id});
      }
    }
    const auto model = queue_.Caller(cancelled);
    RADLADS_RETURN_IF_ERROR(model->Score(questions, [&](int64_t index, std::vector<TokenScore> scores) {
      const size_t i = asked[index];
      TakeScores(requests[i], std::move(scores), &completions[i]);
    }));
    RADLADS_RETURN_IF_ERROR(model->Continue(
        prompts, [&](int64_t index, int64_t id, const TokenScore& score) { return begun[index].Append(id, score); },
        [&](int64_t index) { begun[index].Finish(); }));
    return completions;
  }

  int64_t vocabulary() const override { return queue_.vocabulary(); }
  int64_t max_length() const override { return queue_.max_length(); }

 private:
  void TakeScores(const CompletionRequest& request, std::vector<TokenScore> scores, Completion* completion) const {
    if (request.echo) {
      completion->prompt.push_back({.id = request.prompt[0]});
      for (size_t i = 1; i < request.prompt.size(); ++i) {
        const int64_t id = request.prompt[i];
        completion->prompt.push_back(request.logprobs ? Token(id, request, std::move(scores[i - 1]))
                                                      : CompletionToken{.id = id});
      }
    }
    if (!GeneratesFromScores(request)) return;
    TokenScore last = std::move(scores.back());
    last.logprob = last.best_logprob;
    Generated generated(request, tokenizer_, completion);
    generated.Append(last.best, last);
    generated.Finish();
  }

  ModelQueue& queue_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::unique_ptr<CompletionModel> MakeCompletionModel(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer) {
  return std::make_unique<QueueCompletions>(queue, std::move(tokenizer));
}

}  // namespace radlads
