#include "model/sampling_options.h"

#include <cmath>

#include "base/status.h"

namespace radlads {

absl::Status SamplingOptions::Check(int64_t vocabulary) const {
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocabulary)
      return InvalidArgument("logit_bias: token id ", id, " is outside of the model's vocabulary of ", vocabulary);
    if (!std::isfinite(bias)) return InvalidArgument("logit_bias of token ", id, " must be finite, found ", bias);
  }
  if (!(repetition_penalty > 0) || !std::isfinite(repetition_penalty))
    return InvalidArgument("repetition_penalty must be above 0, found ", repetition_penalty);
  if (!(std::abs(presence_penalty) <= 2))
    return InvalidArgument("presence_penalty must be in [-2, 2], found ", presence_penalty);
  if (!(std::abs(frequency_penalty) <= 2))
    return InvalidArgument("frequency_penalty must be in [-2, 2], found ", frequency_penalty);
  if (!(temperature >= 0) || !std::isfinite(temperature))
    return InvalidArgument("temperature must be 0 or more, found ", temperature);
  if (top_k < 0) return InvalidArgument("top_k must be 0 (all) or more, found ", top_k);
  if (!(top_p >= 0 && top_p <= 1)) return InvalidArgument("top_p must be in [0, 1], found ", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return InvalidArgument("min_p must be in [0, 1], found ", min_p);
  return absl::OkStatus();
}

}  // namespace radlads
