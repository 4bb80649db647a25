#include "model/sampling_options.h"

#include <cmath>

#include "base/status.h"

namespace radlads {

absl::Status SamplingOptions::Check() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    return InvalidArgument("temperature must be 0 or more, found ", temperature);
  if (top_k < 0) return InvalidArgument("top_k must be 0 (all) or more, found ", top_k);
  if (!(top_p > 0 && top_p <= 1)) return InvalidArgument("top_p must be above 0 and at most 1, found ", top_p);
  return absl::OkStatus();
}

}  // namespace radlads
