// What a model expects after each token of given sequences: the arithmetic of every score in this folder.
#ifndef RADLADS_EVAL_TOKEN_SCORES_H_
#define RADLADS_EVAL_TOKEN_SCORES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "eval/token_requests.h"
#include "model/transformer.h"

namespace radlads {

// Reads what requests share once (prefix_batches.h), `batch_tokens` at a time; `wanted` is asked before each such
// batch. INVALID_ARGUMENT, before any work, names a request that fails its Check; DATA_LOSS when a logit is not a
// number.
//
// A model that was loaded for inference, in fp32 on the CPU, gives a request the same bits whatever else is asked and
// however it is batched or read in parts: no kernel on the way adds up in an order that depends on the other rows. In
// bf16, attention over few queries rounds otherwise than over many.
absl::Status ScoreTokens(Transformer& model, const std::vector<TokenScoreRequest>& requests, int64_t batch_tokens,
                         const TokenScoreCallback& done, const WantedCallback& wanted = {});

}  // namespace radlads

#endif  // RADLADS_EVAL_TOKEN_SCORES_H_
