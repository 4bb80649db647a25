#include "eval/token_requests.h"

#include "base/status.h"
#include "model/token_ids.h"

namespace radlads {

absl::Status TokenScoreRequest::Check(int64_t vocabulary) const {
  if (ids.empty()) return InvalidArgument("there is no token to read");
  const auto size = static_cast<int64_t>(ids.size()), places = static_cast<int64_t>(targets.size());
  if (first < 0 || first >= size || places != size - first) {
    return InvalidArgument("it asks for ", places, " places from token ", first, " on, of ", size, " tokens");
  }
  RADLADS_RETURN_IF_ERROR(CheckTokenIds(ids, vocabulary));
  return CheckTokenIds(targets, vocabulary, -1);
}

bool ContinueRequest::TakesLikeliest() const {
  return sampling.temperature == 0 && min_tokens == 0 && sampling.logit_bias.empty() &&
         sampling.repetition_penalty == 1 && sampling.presence_penalty == 0 && sampling.frequency_penalty == 0;
}

absl::Status ContinueRequest::Check(int64_t vocabulary) const {
  if (ids.empty()) return InvalidArgument("there is no token to continue");
  if (max_tokens < 0) return InvalidArgument("max_tokens must be 0 or more, found ", max_tokens);
  RADLADS_RETURN_IF_ERROR(CheckTokenIds(ids, vocabulary));
  return sampling.Check(vocabulary);
}

}  // namespace radlads
