// Continuing many texts at once, token by token.
#ifndef RADLADS_EVAL_CONTINUE_TOKENS_H_
#define RADLADS_EVAL_CONTINUE_TOKENS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "eval/token_scores.h"
#include "model/generate.h"
#include "model/transformer.h"

namespace radlads {

struct ContinueRequest {
  std::vector<int64_t> ids;  // the text so far
  int64_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<int64_t> stop_ids;  // end the text, as its last token
  int64_t top = 0;                // how many of the likeliest tokens to name with each token
};

// Request `index` goes on with `id`; `score` is that of `id` before temperature, top_k and top_p. Returning false ends
// the text with this token.
using ContinueCallback = std::function<bool(int64_t index, int64_t id, const TokenScore& score)>;

// Calls `on_token` for every token of every request, those of one request in order, and `done` after the last. The
// tokens of a request are those that Generate (model/generate.h) gives it alone, but for ties that rounding decides:
// see ScoreTokens. Recurrent models continue texts of any length together, softmax attention those of one length.
// INVALID_ARGUMENT, before any work, names a request without ids or with an id outside of the vocabulary, a negative
// max_tokens, or bad sampling options; DATA_LOSS when a logit is not a number.
absl::Status ContinueTokens(Transformer& model, const std::vector<ContinueRequest>& requests, int64_t batch_tokens,
                            const ContinueCallback& on_token, const std::function<void(int64_t index)>& done);

}  // namespace radlads

#endif  // RADLADS_EVAL_CONTINUE_TOKENS_H_
