// The check of token ids that come from outside.
#ifndef RADLADS_MODEL_TOKEN_IDS_H_
#define RADLADS_MODEL_TOKEN_IDS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "base/status.h"

namespace radlads {

// INVALID_ARGUMENT names the first of `ids` that is not in [lowest, vocabulary). Some callers let -1 stand for none.
inline absl::Status CheckTokenIds(std::span<const int64_t> ids, int64_t vocabulary, int64_t lowest = 0) {
  for (const int64_t id : ids) {
    if (id >= lowest && id < vocabulary) continue;
    return InvalidArgument("token id ", id, " is outside of the model's vocabulary of ", vocabulary,
                           " tokens; was the text tokenised for another model?");
  }
  return absl::OkStatus();
}

}  // namespace radlads

#endif  // RADLADS_MODEL_TOKEN_IDS_H_
