#include "model/sampling.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

// Logits (over the temperature) this far below the largest: exp(-60) = 1e-26, far below the rounding of the sum.
constexpr double kNegligible = -60;

struct Candidate {
  int64_t id;
  double weight;  // probability over that of the likeliest
};

// For a heap with the likeliest on top, the lowest id among equals.
bool IsLessLikely(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight < b.weight : a.id > b.id;
}

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

absl::StatusOr<int64_t> LikeliestAllowed(const double* logits, int64_t count, const TokenSampler::Allows& allows) {
  std::vector<Candidate> heap;
  for (int64_t id = 0; id < count; ++id) {
    if (std::isfinite(logits[id])) heap.push_back({id, logits[id]});
  }
  std::make_heap(heap.begin(), heap.end(), IsLessLikely);
  for (; !heap.empty(); heap.pop_back()) {
    std::pop_heap(heap.begin(), heap.end(), IsLessLikely);
    if (allows(heap.back().id)) return heap.back().id;
  }
  return FailedPrecondition("none of the ", count, " tokens of the vocabulary may come next");
}

}  // namespace

void TokenSampler::Read(std::span<const int64_t> prompt) {
  if (options_.repetition_penalty != 1) prompt_.insert(prompt.begin(), prompt.end());
}

void TokenSampler::Replay(int64_t id) {
  ++sampled_[id];
  if (options_.temperature > 0) random_();
}

void TokenSampler::Penalise(double* logits) const {
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
  const at::Tensor values = logits.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true).contiguous();
  double* const logit = values.mutable_data_ptr<double>();
  const int64_t count = values.numel();
  Penalise(logit);
  int64_t best = 0;
  for (int64_t id = 0; id < count; ++id) {
    if (std::isnan(logit[id]))
      return DataLoss("the logit of token ", id, " is not a number; the model's weights or state are damaged");
    if (logit[id] > logit[best]) best = id;
  }
  if (!std::isfinite(logit[best]))
    return DataLoss("the largest logit is ", logit[best], "; the model's weights or state are damaged");
  if (options_.temperature == 0) {
    if (allows && !allows(best)) {
      RADLADS_ASSIGN_OR_RETURN(best, LikeliestAllowed(logit, count, allows));
    }
    ++sampled_[best];
    return best;
  }

  const double lowest = std::max(kNegligible, std::log(options_.min_p));
  std::vector<Candidate> heap;
  double total = 0;
  for (int64_t id = 0; id < count; ++id) {
    const double below = (logit[id] - logit[best]) / options_.temperature;
    if (id != best && (below <= kNegligible || below < lowest)) continue;
    heap.push_back({id, std::exp(below)});
    total += heap.back().weight;
  }
  // The likeliest tokens one by one, as many as are needed: most often few.
  std::make_heap(heap.begin(), heap.end(), IsLessLikely);
  std::vector<Candidate> likeliest;
  const auto next = [&] {
    std::pop_heap(heap.begin(), heap.end(), IsLessLikely);
    likeliest.push_back(heap.back());
    heap.pop_back();
    return likeliest.back().weight;
  };
  const auto candidates = static_cast<int64_t>(heap.size());
  const int64_t kept = options_.top_k > 0 ? std::min(options_.top_k, candidates) : candidates;
  if (kept < candidates) {
    total = 0;
    for (int64_t i = 0; i < kept; ++i) total += next();
    heap.clear();
  }
  double sum = 0;
  if (options_.top_p < 1) {
    size_t i = 0;
    while (sum < options_.top_p * total && (i < likeliest.size() || !heap.empty())) {
      sum += i < likeliest.size() ? likeliest[i].weight : next();
      ++i;
    }
    likeliest.resize(i);
    heap.clear();
    total = sum;
  }
  uint64_t state = random_(), number = state;
  for (int refused = 0;; number = Split(&state)) {
    const double target = static_cast<double>(number >> 11) * 0x1p-53 * total;
    size_t i = 0;
    sum = 0;
    do {
      sum += i < likeliest.size() ? likeliest[i].weight : next();
      ++i;
      // Rounding may leave the whole sum just below the target: then it is the last.
    } while (sum <= target && (i < likeliest.size() || !heap.empty()));
    Candidate& drawn = likeliest[i - 1];
    if (!allows || (drawn.weight > 0 && allows(drawn.id))) {
      ++sampled_[drawn.id];
      return drawn.id;
    }
    total -= std::exchange(drawn.weight, 0);
    if (++refused < kMostRefused) continue;
    while (!heap.empty()) next();
    std::erase_if(likeliest, [&](const Candidate& c) { return c.weight == 0 || !allows(c.id); });
    total = 0;
    for (const Candidate& candidate : likeliest) total += candidate.weight;
    if (!likeliest.empty()) continue;
    RADLADS_ASSIGN_OR_RETURN(const int64_t id, LikeliestAllowed(logit, count, allows));
    ++sampled_[id];
    return id;
  }
}

}  // namespace radlads
