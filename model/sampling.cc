#include "model/sampling.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "base/status.h"
#include "model/token_ranking.h"

namespace radlads {
namespace {

// After so many refused tokens of a draw, all candidates are asked about.
constexpr int kMostRefused = 64;

// Steele, Lea, Flood, 2014, "Fast splittable pseudorandom number generators": the numbers after the first of a token,
// so that every token takes one number of the text's own generator.
uint64_t Split(uint64_t* state) {
  uint64_t number = *state += 0x9E3779B97F4A7C15;
  number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9;
  number = (number ^ (number >> 27)) * 0x94D049BB133111EB;
  return number ^ (number >> 31);
}

absl::StatusOr<int64_t> LikeliestAllowed(std::span<const float> logits, const TokenSampler::Allows& allows) {
  struct Candidate {
    float logit;
    int64_t id;
    // For a heap with the likeliest on top, the lowest id among equals.
    bool operator<(const Candidate& other) const { return logit != other.logit ? logit < other.logit : id > other.id; }
  };
  std::vector<Candidate> heap;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isfinite(logits[id])) heap.push_back({logits[id], static_cast<int64_t>(id)});
  }
  std::make_heap(heap.begin(), heap.end());
  for (; !heap.empty(); heap.pop_back()) {
    std::pop_heap(heap.begin(), heap.end());
    if (allows(heap.back().id)) return heap.back().id;
  }
  return FailedPrecondition("none of the ", logits.size(), " tokens of the vocabulary may come next");
}

}  // namespace

void TokenSampler::Read(std::span<const int64_t> prompt) {
  if (options_.repetition_penalty != 1) prompt_.insert(prompt.begin(), prompt.end());
}

void TokenSampler::Replay(int64_t id) {
  ++sampled_[id];
  if (options_.temperature > 0) random_();
}

bool TokenSampler::Penalises() const {
  return !options_.logit_bias.empty() || options_.repetition_penalty != 1 || options_.presence_penalty != 0 ||
         options_.frequency_penalty != 0;
}

void TokenSampler::Penalise(float* logits) const {
  for (const auto& [id, bias] : options_.logit_bias) logits[id] += bias;
  const double penalty = options_.repetition_penalty;
  const auto repeat = [&](int64_t id) { logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty; };
  if (penalty != 1) {
    for (const int64_t id : prompt_) repeat(id);
    for (const auto& [id, times] : sampled_) {
      if (!prompt_.contains(id)) repeat(id);
    }
  }
  if (options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
  for (const auto& [id, times] : sampled_) {
    logits[id] -= options_.presence_penalty + options_.frequency_penalty * static_cast<double>(times);
  }
}

absl::StatusOr<int64_t> TokenSampler::Sample(const at::Tensor& logits, const Allows& allows) {
  RADLADS_CHECK(logits.dim() == 1) << "logits must be [W], found " << logits.sizes();
  const at::Tensor values = logits.to(at::kFloat, /*non_blocking=*/false, /*copy=*/Penalises()).contiguous();
  if (Penalises()) Penalise(values.mutable_data_ptr<float>());
  const std::span<const float> all(values.const_data_ptr<float>(), values.numel());
  RADLADS_ASSIGN_OR_RETURN(const int64_t id, Choose(all, allows));
  ++sampled_[id];
  return id;
}

absl::StatusOr<int64_t> TokenSampler::Choose(std::span<const float> logits, const Allows& allows) {
  const int64_t best = LikeliestToken(logits);
  if (std::isnan(logits[best]))
    return DataLoss("the logit of token ", best, " is not a number; the model's weights or state are damaged");
  if (!std::isfinite(logits[best]))
    return DataLoss("the largest logit is ", logits[best], "; the model's weights or state are damaged");
  if (options_.temperature == 0) return !allows || allows(best) ? best : LikeliestAllowed(logits, allows);

  TokenRanking ranking(logits, logits[best], options_.temperature, options_.min_p);
  if (options_.top_k > 0) ranking.KeepCount(options_.top_k);
  if (options_.top_p < 1) ranking.KeepShare(options_.top_p);
  uint64_t state = random_(), number = state;
  for (int refused = 0;; number = Split(&state)) {
    const TokenRanking::Token* drawn = ranking.At(static_cast<double>(number >> 11) * 0x1p-53 * ranking.total());
    if (drawn == nullptr) return LikeliestAllowed(logits, allows);
    if (!allows || allows(drawn->id)) return drawn->id;
    ranking.Drop(drawn);
    if (++refused == kMostRefused) ranking.DropUnless(allows);
  }
}

}  // namespace radlads
