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

absl::StatusOr<int64_t> TokenSampler::Sample(const at::Tensor& logits) {
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
    sum = 0;
  }
  const double target = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  size_t i = 0;
  do {
    sum += i < likeliest.size() ? likeliest[i].weight : next();
    ++i;
    // Rounding may leave the whole sum just below the target: then it is the last.
  } while (sum <= target && (i < likeliest.size() || !heap.empty()));
  ++sampled_[likeliest[i - 1].id];
  return likeliest[i - 1].id;
}

}  // namespace radlads
