// What a model expects after each token of given sequences: the arithmetic of every score in this folder.
#ifndef RADLADS_EVAL_TOKEN_SCORES_H_
#define RADLADS_EVAL_TOKEN_SCORES_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/transformer.h"

namespace radlads {

struct TokenScoreRequest {
  std::vector<int64_t> ids;  // what the model reads, from nothing before it
  // The model is asked after ids[first], ids[first + 1] and so on to the last; targets[i] is the token that follows
  // ids[first + i] and whose probability is asked for, or -1.
  int64_t first = 0;
  std::vector<int64_t> targets;  // ids.size() - first
  int64_t top = 0;               // how many of the likeliest tokens to name at each place
};

// At one place. Natural logarithms, of a softmax in fp32.
struct TokenScore {
  float logprob = 0;                           // of the target; 0 if there is none
  int64_t best = 0;                            // the likeliest token: the lowest id among equals
  float best_logprob = 0;                      // equal to logprob if best is the target
  std::vector<std::pair<int64_t, float>> top;  // by falling probability
};

// Result of request `index`, targets.size() places; called once each, as results come.
using TokenScoreCallback = std::function<void(int64_t index, std::vector<TokenScore> scores)>;

// Reads what requests share once (prefix_batches.h), `batch_tokens` at a time. INVALID_ARGUMENT, before any work, names
// a request with an id outside of the vocabulary, without ids, or with `first` or `targets` that do not fit; DATA_LOSS
// when a logit is not a number.
//
// A model that was loaded for inference, in fp32 on the CPU, gives a request the same bits whatever else is asked and
// however it is batched or read in parts: no kernel on the way adds up in an order that depends on the other rows. In
// bf16, attention over few queries rounds otherwise than over many.
absl::Status ScoreTokens(Transformer& model, const std::vector<TokenScoreRequest>& requests, int64_t batch_tokens,
                         const TokenScoreCallback& done);

// What one row of logits is asked for; as in TokenScoreRequest.
struct RowQuestion {
  int64_t row = 0;
  int64_t target = -1;
  int64_t top = 0;
};

// logits [N,W] fp32 on the CPU, which are overwritten -> an answer to each question. DATA_LOSS as above.
absl::StatusOr<std::vector<TokenScore>> ScoreLogits(Tensor logits, const std::vector<RowQuestion>& questions);

}  // namespace radlads

#endif  // RADLADS_EVAL_TOKEN_SCORES_H_
