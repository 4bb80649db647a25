// The way to a model, for everything in this folder that asks one about tokens.
#ifndef RADLADS_EVAL_TOKEN_MODEL_H_
#define RADLADS_EVAL_TOKEN_MODEL_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eval/token_requests.h"

namespace radlads {

class Transformer;

struct TokenModelOptions {
  int64_t batch_tokens = 4096;  // that go through the model at once, padding included; a longer request goes alone
  int64_t max_length = 0;       // tokens of context; 0: the model's max_position_embeddings, or 2048 if it names none
  // Once requested, calls of MakeTokenModel's end with CANCELLED before the next piece of work. (A ModelQueue has callers
  // who leave one by one.)
  std::stop_token stop = {};
};

// As ScoreTokens (token_scores.h) and ContinueTokens (continue_tokens.h), which say what is answered and how far
// answers depend on what else is asked. Calls return when all is answered. Every callback comes before its call
// returns, one at a time; those for finished requests on the thread of the call, `on_token` perhaps on another, where
// it must not wait.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual absl::Status Score(const std::vector<TokenScoreRequest>& requests, const TokenScoreCallback& done) = 0;
  virtual absl::Status Continue(const std::vector<ContinueRequest>& requests, const ContinueCallback& on_token,
                                const ContinuedCallback& done) = 0;
  virtual int64_t vocabulary() const = 0;
  virtual int64_t max_length() const = 0;  // tokens that the model may read
};

// For one caller at a time: computes on its thread. `model` is one for inference (LoadForInference) and must outlive
// it. INVALID_ARGUMENT for options out of range.
absl::StatusOr<std::unique_ptr<TokenModel>> MakeTokenModel(Transformer& model, const TokenModelOptions& options);

// max_length of `options`, resolved for `model`. INVALID_ARGUMENT for options out of range.
absl::StatusOr<int64_t> ContextLength(const Transformer& model, const TokenModelOptions& options);

}  // namespace radlads

#endif  // RADLADS_EVAL_TOKEN_MODEL_H_
