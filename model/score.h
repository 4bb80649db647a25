// How well a model predicts given tokens: negative log likelihood and perplexity.
#ifndef RADLADS_MODEL_SCORE_H_
#define RADLADS_MODEL_SCORE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "model/transformer.h"

namespace radlads {

struct Score {
  double negative_log_likelihood = 0;  // nats, summed over the scored tokens; not-a-number if the model's logits are
  int64_t tokens = 0;                  // scored

  double Mean() const { return negative_log_likelihood / static_cast<double>(tokens); }  // nats per token
  double Perplexity() const;                                                             // exp(Mean())
  Score& operator+=(const Score& other);
};

// Called after every batch with what has been scored so far.
using ScoreProgress = std::function<void(const Score& so_far)>;

// windows [N,T+1] int64: every token of a window but its first is scored, given those before it in the window. `batch`
// windows go through the model at once; the result depends on it by rounding only. INVALID_ARGUMENT for another
// shape or dtype, T < 1, batch < 1, or an id outside of the vocabulary. No gradients.
absl::StatusOr<Score> ScoreWindows(Transformer& model, const Tensor& windows, int64_t batch,
                                   const ScoreProgress& progress = {});

// One score for each document, in their order: every token but the first, given those before it. Documents of similar
// length share a batch, padded at the end, which no causal model sees. Documents of fewer than two tokens score
// nothing. Errors as above.
absl::StatusOr<std::vector<Score>> ScoreDocuments(Transformer& model,
                                                  const std::vector<std::vector<int64_t>>& documents, int64_t batch,
                                                  const ScoreProgress& progress = {});

}  // namespace radlads

#endif  // RADLADS_MODEL_SCORE_H_
