// Continuing many texts at once, token by token.
#ifndef RADLADS_EVAL_CONTINUE_TOKENS_H_
#define RADLADS_EVAL_CONTINUE_TOKENS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "eval/token_requests.h"
#include "model/transformer.h"

namespace radlads {

// Calls `on_token` for every token of every request, those of one request in order, and `done` after the last. The
// tokens of a request are those that Generate (model/generate.h) gives it alone, but for ties that rounding decides:
// see ScoreTokens. Up to 64 texts go on together, of any lengths; where one ends, another begins.
// `wanted` is asked before each piece of a prompt and each token. INVALID_ARGUMENT, before any work, names a request
// that fails its Check; DATA_LOSS when a logit is not a number.
absl::Status ContinueTokens(Transformer& model, const std::vector<ContinueRequest>& requests, int64_t batch_tokens,
                            const ContinueCallback& on_token, const ContinuedCallback& done,
                            const WantedCallback& wanted = {});

}  // namespace radlads

#endif  // RADLADS_EVAL_CONTINUE_TOKENS_H_
