// Drawing the next token from logits.
#ifndef RADLADS_MODEL_SAMPLING_H_
#define RADLADS_MODEL_SAMPLING_H_

#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "absl/status/statusor.h"
#include "model/sampling_options.h"

namespace at {
class Tensor;
}

namespace radlads {

// Draws the tokens of one text. The random numbers are std::mt19937_64(seed), one for each token drawn (none at
// temperature 0), as u = (number >> 11) * 2^-53; the token is the first, by falling probability and rising id, at which
// the cumulative probability (token_ranking.h: of fp32 weights) exceeds u; tokens less likely than exp(-60) times the
// likeliest are never drawn. The same logits and seed give the same tokens on every machine. Not thread-safe.
class TokenSampler {
 public:
  explicit TokenSampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

  // What came before the text; for the repetition penalty.
  void Read(std::span<const int64_t> prompt);
  // logits [W] on the CPU, fp32 (or what is rounded to it) -> an id in [0,W). DATA_LOSS when a logit is not a number or
  // none is finite. With `allows`, of the tokens that the options leave, by their probabilities, one that it allows; if
  // they leave none, the likeliest that it allows: it is asked about few tokens, most often. FAILED_PRECONDITION where
  // it allows none.
  using Allows = std::function<bool(int64_t id)>;
  absl::StatusOr<int64_t> Sample(const at::Tensor& logits, const Allows& allows = nullptr);
  // As if Sample had just given `id`: continues a text whose first tokens are known.
  void Replay(int64_t id);

 private:
  bool Penalises() const;
  void Penalise(float* logits) const;
  absl::StatusOr<int64_t> Choose(std::span<const float> logits, const Allows& allows);

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::unordered_set<int64_t> prompt_;
  std::unordered_map<int64_t, int64_t> sampled_;  // how often
};

}  // namespace radlads

#endif  // RADLADS_MODEL_SAMPLING_H_
