#include "eval/completion_queue.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/parallel_for.h"
#include "base/status.h"
#include "eval/continue_tokens.h"
#include "eval/growing_text.h"
#include "eval/token_scores.h"

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

// One call of Complete.
struct Call {
  std::vector<CompletionRequest> requests;
  std::vector<Completion> completions;
  int64_t unanswered = 0;
  absl::Status status;
};

class CompletionQueue : public CompletionModel {
 public:
  CompletionQueue(Transformer& model, std::shared_ptr<const Tokenizer> tokenizer, int64_t batch_tokens,
                  int64_t max_length)
      : model_(model), tokenizer_(std::move(tokenizer)), batch_tokens_(batch_tokens), max_length_(max_length) {
    worker_ = std::thread([this, threads = Threads()] {
      // OpenMP keeps the number for each thread that starts loops.
      SetThreads(threads);
      at::set_num_threads(threads);
      Work();
    });
  }

  ~CompletionQueue() override {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  absl::StatusOr<std::vector<Completion>> Complete(std::vector<CompletionRequest> requests) override {
    if (requests.empty()) return std::vector<Completion>();
    Call call;
    call.completions.resize(requests.size());
    call.unanswered = requests.size();
    call.requests = std::move(requests);
    std::unique_lock lock(mutex_);
    waiting_.push_back(&call);
    changed_.notify_all();
    changed_.wait(lock, [&] { return call.unanswered == 0; });
    if (!call.status.ok()) return call.status;
    return std::move(call.completions);
  }

  int64_t vocabulary() const override { return model_.config().vocab_size(); }
  int64_t max_length() const override { return max_length_; }

 private:
  // A request of the batch under way. A request that both scores its prompt and generates has two parts.
  struct Part {
    Call* call;
    size_t index;
    int* parts;  // of this request that are not done
    CompletionRequest& request() const { return call->requests[index]; }
    Completion& completion() const { return call->completions[index]; }
  };

  void Work() {
    for (;;) {
      std::vector<Call*> calls;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        calls.swap(waiting_);
      }
      const absl::Status status = Serve(calls);
      if (status.ok()) continue;
      std::lock_guard lock(mutex_);
      for (Call* call : calls) {
        if (std::find(finished_.begin(), finished_.end(), call) != finished_.end()) continue;
        call->status = status;
        call->unanswered = 0;
      }
      changed_.notify_all();
    }
  }

  absl::Status Serve(const std::vector<Call*>& calls) {
    finished_.clear();
    std::vector<TokenScoreRequest> questions;
    std::vector<ContinueRequest> prompts;
    std::vector<Part> scored, continued;
    std::vector<GrowingText> texts;
    size_t count = 0;
    for (const Call* call : calls) count += call->requests.size();
    std::vector<int> parts(count);
    int* next = parts.data();
    for (Call* call : calls) {
      for (size_t i = 0; i < call->requests.size(); ++i, ++next) {
        const CompletionRequest& request = call->requests[i];
        const Part part{call, i, next};
        // The likeliest token after the prompt comes with the scores of the prompt.
        const bool from_scores = request.max_tokens == 1 && request.temperature == 0;
        if (request.max_tokens > 0 && !from_scores) {
          ++*next;
          continued.push_back(part);
          texts.emplace_back(tokenizer_, request.stop);
          prompts.push_back(Prompt(request));
        }
        if (from_scores || request.max_tokens == 0 || (request.echo && request.logprobs)) {
          ++*next;
          scored.push_back(part);
          questions.push_back(Question(request));
        } else if (request.echo) {
          for (int64_t id : request.prompt) call->completions[i].prompt.push_back({.id = id});
        }
      }
    }
    RADLADS_RETURN_IF_ERROR(
        ScoreTokens(model_, questions, batch_tokens_, [&](int64_t index, std::vector<TokenScore> scores) {
          FinishScores(scored[index], std::move(scores));
          Finish(scored[index]);
        }));
    return ContinueTokens(
        model_, prompts, batch_tokens_,
        [&](int64_t index, int64_t id, const TokenScore& score) {
          const Part& part = continued[index];
          part.completion().generated.push_back(Token(id, part.request(), score));
          return Append(part, id, prompts[index].stop_ids, &texts[index]);
        },
        [&](int64_t index) {
          const Part& part = continued[index];
          texts[index].Finish();
          part.completion().stopped |= texts[index].ended();
          part.completion().text = texts[index].text();
          Finish(part);
        });
  }

  TokenScoreRequest Question(const CompletionRequest& request) const {
    TokenScoreRequest question{.ids = request.prompt};
    const bool all = request.echo && request.logprobs;
    question.first = all ? 0 : static_cast<int64_t>(request.prompt.size()) - 1;
    question.targets.assign(request.prompt.begin() + question.first + 1, request.prompt.end());
    question.targets.push_back(-1);
    question.top = request.logprobs.value_or(0);
    return question;
  }

  ContinueRequest Prompt(const CompletionRequest& request) const {
    ContinueRequest prompt{.ids = request.prompt, .max_tokens = request.max_tokens};
    prompt.sampling = {
        .temperature = request.temperature, .top_k = request.top_k, .top_p = request.top_p, .seed = request.seed};
    prompt.stop_ids = StopIds(*tokenizer_, request.stop);
    prompt.top = request.logprobs.value_or(0);
    return prompt;
  }

  // Whether the text goes on after `id`.
  static bool Append(const Part& part, int64_t id, const std::vector<int64_t>& stop_ids, GrowingText* text) {
    if (std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end()) {
      part.completion().stopped = true;
      return false;
    }
    return text->Append(id);
  }

  void FinishScores(const Part& part, std::vector<TokenScore> scores) const {
    const CompletionRequest& request = part.request();
    Completion& completion = part.completion();
    if (request.echo) {
      completion.prompt.push_back({.id = request.prompt[0]});
      for (size_t i = 1; i < request.prompt.size(); ++i) {
        const int64_t id = request.prompt[i];
        completion.prompt.push_back(request.logprobs ? Token(id, request, std::move(scores[i - 1]))
                                                     : CompletionToken{.id = id});
      }
    }
    if (request.max_tokens != 1 || request.temperature != 0) return;
    TokenScore last = std::move(scores.back());
    last.logprob = last.best_logprob;
    completion.generated.push_back(Token(last.best, request, last));
    GrowingText text(tokenizer_, request.stop);
    Append(part, last.best, StopIds(*tokenizer_, request.stop), &text);
    text.Finish();
    completion.stopped |= text.ended();
    completion.text = text.text();
  }

  void Finish(const Part& part) {
    if (--*part.parts > 0) return;
    std::lock_guard lock(mutex_);
    if (--part.call->unanswered > 0) return;
    finished_.push_back(part.call);
    changed_.notify_all();
  }

  Transformer& model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int64_t batch_tokens_, max_length_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call*> waiting_;
  std::vector<Call*> finished_;  // of the batch under way: their memory is the caller's again
  bool closing_ = false;
  std::thread worker_;
};

}  // namespace

std::unique_ptr<CompletionModel> MakeCompletionQueue(Transformer& model, std::shared_ptr<const Tokenizer> tokenizer,
                                                     int64_t batch_tokens, int64_t max_length) {
  return std::make_unique<CompletionQueue>(model, std::move(tokenizer), batch_tokens, max_length);
}

}  // namespace radlads
