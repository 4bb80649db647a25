// What a model expects after a token: the arithmetic of every probability that is reported.
#ifndef RADLADS_MODEL_TOKEN_SCORE_H_
#define RADLADS_MODEL_TOKEN_SCORE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace at {
class Tensor;
}

namespace radlads {

// At one place. Natural logarithms, of a softmax in fp32.
struct TokenScore {
  float logprob = 0;                           // of the target; 0 if there is none
  int64_t best = 0;                            // the likeliest token: the lowest id among equals
  float best_logprob = 0;                      // equal to logprob if best is the target
  std::vector<std::pair<int64_t, float>> top;  // by falling probability
};

// What one row of logits is asked for.
struct RowQuestion {
  int64_t row = 0;
  int64_t target = -1;  // the token whose probability is asked for, or -1
  int64_t top = 0;      // how many of the likeliest tokens to name
};

// logits [N,W] on the CPU -> an answer to each question. DATA_LOSS when a logit is not a number.
absl::StatusOr<std::vector<TokenScore>> ScoreLogits(at::Tensor logits, const std::vector<RowQuestion>& questions);

}  // namespace radlads

#endif  // RADLADS_MODEL_TOKEN_SCORE_H_
