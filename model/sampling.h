// Drawing the next token from logits.
#ifndef RADLADS_MODEL_SAMPLING_H_
#define RADLADS_MODEL_SAMPLING_H_

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace at {
class Tensor;
}

namespace radlads {

// What is applied to logits, in this order.
struct SamplingOptions {
  std::map<int64_t, double> logit_bias;  // added, by token
  // Keskar et al., 2019 (arXiv 1909.05858): logits of tokens that came before, in prompt or text, are divided by it if
  // above 0, else multiplied. Above 0; 1: nothing.
  double repetition_penalty = 1;
  // As OpenAI's API: subtracted from the logits of tokens that were sampled before, once, and for each time. [-2, 2].
  double presence_penalty = 0;
  double frequency_penalty = 0;
  double temperature = 0;  // logits are divided by it; 0 takes the likeliest token (the lowest id among equals)
  int64_t top_k = 0;       // only the k likeliest tokens; 0 means all
  double top_p = 1;        // only the likeliest tokens that together have this probability
  double min_p = 0;        // only tokens at least so likely as min_p times the likeliest (arXiv 2407.01082)
  uint64_t seed = 0;

  // INVALID_ARGUMENT names the option that is out of range. Ids of `logit_bias` are in [0, vocabulary).
  absl::Status Check(int64_t vocabulary) const;
};

// Draws the tokens of one text. The random numbers are std::mt19937_64(seed), one for each token drawn (none at
// temperature 0), as u = (number >> 11) * 2^-53; the token is the first, by falling probability and rising id, at which
// the cumulative probability exceeds u; tokens less likely than exp(-60) times the likeliest are never drawn. The same
// logits and seed give the same tokens on every machine. Not thread-safe.
class TokenSampler {
 public:
  explicit TokenSampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

  // What came before the text; for the repetition penalty.
  void Read(std::span<const int64_t> prompt);
  // logits [W] fp32 or double, on the CPU -> an id in [0,W). DATA_LOSS when a logit is not a number or none is finite.
  absl::StatusOr<int64_t> Sample(const at::Tensor& logits);
  // As if Sample had just given `id`: continues a text whose first tokens are known.
  void Replay(int64_t id);

 private:
  void Penalise(double* logits) const;

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::unordered_set<int64_t> prompt_;
  std::unordered_map<int64_t, int64_t> sampled_;  // how often
};

}  // namespace radlads

#endif  // RADLADS_MODEL_SAMPLING_H_
