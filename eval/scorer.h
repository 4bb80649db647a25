// Scores text with a model: the three requests that lm_eval (https://github.com/EleutherAI/lm-evaluation-harness, 0.4)
// puts to its models, on token ids, with the answers of its `hf` backend.
//
// Inside, requests are put in batches of similar length, and what they share is read once: requests with the same
// context (the choices of one question) continue one state, a KV cache or a recurrent one, copied for each; requests
// with the same input share its rows. Log probabilities are a log-softmax in fp32 of the rows that are asked for only.
#ifndef RADLADS_EVAL_SCORER_H_
#define RADLADS_EVAL_SCORER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/token_model.h"
#include "model/sampling.h"

namespace radlads {

// How likely is `continuation` after `context`? An empty context stands for the prefix token (Scorer::prefix_token);
// a continuation that begins with it is then scored from its second token on.
struct LoglikelihoodRequest {
  std::vector<int64_t> context, continuation;
};

struct LoglikelihoodResult {
  double logprob = 0;  // natural logarithm, summed over the continuation
  bool is_greedy =
      false;  // each of its tokens has the highest logit at its place, and the lowest id of those that have
};

struct GenerateRequest {
  std::vector<int64_t> prompt;
  std::vector<std::string> until;  // the text ends before the first of these; empty strings are ignored
  int64_t max_new_tokens = 256;
  SamplingOptions sampling;
};

// Request `index` of the call has this result. Called once for each request, as results come (not in order), on the
// calling thread.
template <typename Result>
using ScorerCallback = std::function<void(int64_t index, const Result& result)>;

// Results are in the order of the requests. Errors, of all calls: INVALID_ARGUMENT names the first request that cannot
// be scored (an empty continuation or prompt, an id outside of the vocabulary, one longer than the context) before any
// work is done; DATA_LOSS when the model gives what is not a number; CANCELLED as of ModelQueue. Not thread-safe.
class Scorer {
 public:
  virtual ~Scorer() = default;

  // How likely each continuation is. Where context and continuation exceed max_length + 1 tokens (the last is predicted
  // but not read), the context loses its first tokens.
  virtual absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      const std::vector<LoglikelihoodRequest>& requests, const ScorerCallback<LoglikelihoodResult>& done = {}) = 0;

  // Natural logarithm of the probability of every token of each document, the first after the prefix token, read in
  // RollingWindows of max_length. 0 for an empty document.
  virtual absl::StatusOr<std::vector<double>> LoglikelihoodRolling(const std::vector<std::vector<int64_t>>& documents,
                                                                   const ScorerCallback<double>& done = {}) = 0;

  // The text that continues each prompt, up to a string of `until`, a stop token of the tokenizer, or max_new_tokens.
  // Special tokens have no text. A prompt keeps its last max_length - max_new_tokens tokens.
  virtual absl::StatusOr<std::vector<std::string>> GenerateUntil(const std::vector<GenerateRequest>& requests,
                                                                 const ScorerCallback<std::string>& done = {}) = 0;

  virtual int64_t max_length() const = 0;
  // Stands before a text that has nothing before it: the tokenizer's begin-of-text token or, if it has none, its
  // end-of-text token.
  virtual int64_t prefix_token() const = 0;
};

// What a Scorer takes.
struct ScorerLimits {
  int64_t vocabulary = 0, max_length = 0, prefix_token = 0;

  // The INVALID_ARGUMENT of one request, as described above.
  absl::Status Check(const LoglikelihoodRequest& request) const;
  absl::Status Check(const std::vector<int64_t>& document) const;
  absl::Status Check(const GenerateRequest& request) const;
};

// Of a scorer for `model` and `tokenizer`. INVALID_ARGUMENT for a tokenizer that knows no end-of-text token.
absl::StatusOr<ScorerLimits> LimitsOf(const TokenModel& model, const Tokenizer& tokenizer);

// Asks `model`. Model and tokenizer must outlive it. Errors as of LimitsOf.
absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(std::unique_ptr<TokenModel> model, const Tokenizer& tokenizer);
// Over a model for inference (LoadForInference), in this process and for this scorer alone. INVALID_ARGUMENT for
// options out of range, too.
absl::StatusOr<std::unique_ptr<Scorer>> MakeScorer(Transformer& model, const Tokenizer& tokenizer,
                                                   const TokenModelOptions& options);

// The windows of lm_eval's get_rolling_token_windows with context_len 1, made disjoint: every token of `document` is in
// exactly one continuation, and has as much before it as fits in max_length tokens. max_length >= 1.
std::vector<LoglikelihoodRequest> RollingWindows(const std::vector<int64_t>& document, int64_t prefix_token,
                                                 int64_t max_length);

}  // namespace radlads

#endif  // RADLADS_EVAL_SCORER_H_
