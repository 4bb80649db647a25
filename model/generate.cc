#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "model/token_ids.h"

namespace radlads {
namespace {

// Logits (over the temperature) this far below the largest: exp(-60) = 1e-26, far below the rounding of the sum.
constexpr double kNegligible = -60;

class Clock {
 public:
  // Seconds since construction or the last call.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

absl::StatusOr<int64_t> TokenSampler::Sample(const Tensor& logits) {
  RADLADS_CHECK(logits.dim() == 1) << "logits must be [W], found " << logits.sizes();
  const Tensor values = logits.to(at::kDouble).contiguous();
  const double* logit = values.const_data_ptr<double>();
  const int64_t count = values.numel();
  int64_t best = 0;
  for (int64_t id = 0; id < count; ++id) {
    if (std::isnan(logit[id]))
      return DataLoss("the logit of token ", id, " is not a number; the model's weights or state are damaged");
    if (logit[id] > logit[best]) best = id;
  }
  if (!std::isfinite(logit[best]))
    return DataLoss("the largest logit is ", logit[best], "; the model's weights or state are damaged");
  if (options_.temperature == 0) return best;

  // The candidates by falling logit: all others are too unlikely for a double to add up.
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < count; ++id) {
    if (logit[id] - logit[best] > kNegligible * options_.temperature) ids.push_back(id);
  }
  const auto before = [logit](int64_t a, int64_t b) { return logit[a] != logit[b] ? logit[a] > logit[b] : a < b; };
  const int64_t candidates = static_cast<int64_t>(ids.size());
  const int64_t kept = options_.top_k > 0 ? std::min(options_.top_k, candidates) : candidates;
  std::partial_sort(ids.begin(), ids.begin() + kept, ids.end(), before);
  ids.resize(kept);
  std::vector<double> weight(kept);
  double total = 0;
  for (int64_t i = 0; i < kept; ++i)
    total += weight[i] = std::exp((logit[ids[i]] - logit[best]) / options_.temperature);
  if (options_.top_p < 1) {
    double sum = 0;
    for (int64_t i = 0; i < kept; ++i) {
      sum += weight[i];
      if (sum >= options_.top_p * total) {
        weight.resize(i + 1);
        total = sum;
        break;
      }
    }
  }
  const double target = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  double sum = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    sum += weight[i];
    if (sum > target) return ids[i];
  }
  return ids[weight.size() - 1];  // rounding left the sum just below the target
}

absl::StatusOr<GenerateResult> Generate(Transformer& model, const std::vector<int64_t>& prompt,
                                        const GenerateOptions& options, const std::function<bool(int64_t id)>& on_token,
                                        ModelState* state) {
  RADLADS_RETURN_IF_ERROR(options.sampling.Check());
  if (prompt.empty())
    return InvalidArgument("the prompt has no token; give at least one, the begin-of-text token for example");
  if (options.max_tokens < 0 || options.prompt_chunk < 1) {
    return InvalidArgument("max_tokens must be 0 or more and prompt_chunk 1 or more, found ", options.max_tokens,
                           " and ", options.prompt_chunk);
  }
  RADLADS_RETURN_IF_ERROR(CheckTokenIds(prompt, model.config().vocab_size()));

  at::NoGradGuard no_grad;
  ModelState own;
  ModelState& carried = state != nullptr ? *state : own;
  TokenSampler sampler(options.sampling);
  GenerateResult result;
  Clock clock;
  Tensor hidden;  // [1,T,C] of what was read last
  for (size_t first = 0; first < prompt.size(); first += options.prompt_chunk) {
    const size_t last = std::min(prompt.size(), first + options.prompt_chunk);
    const std::vector<int64_t> piece(prompt.begin() + first, prompt.begin() + last);
    hidden = model.Forward(at::tensor(piece, at::kLong).unsqueeze(0), &carried);
  }
  for (int64_t count = 0; count < options.max_tokens; ++count) {
    if (count > 0) hidden = model.Forward(at::full({1, 1}, result.unread, at::kLong), &carried);
    const Tensor logits = model.Logits(hidden.select(1, hidden.size(1) - 1)).squeeze(0);
    auto id = sampler.Sample(logits);
    if (!id.ok()) return Annotate(id.status(), Concatenate("token ", count, " after the prompt"));
    result.unread = *id;
    const double seconds = clock.Lap();
    if (count == 0) {
      result.prompt_seconds = seconds;
    } else {
      result.token_seconds.push_back(seconds);
    }
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), *id) != options.stop_ids.end()) {
      result.stopped = true;
      break;
    }
    result.tokens.push_back(*id);
    if (on_token && !on_token(*id)) break;
  }
  result.state_bytes = carried.ByteSize();
  return result;
}

}  // namespace radlads
