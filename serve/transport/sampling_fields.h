// How the tokens of a reply are drawn and what ends it, as JSON says it. Every error is INVALID_ARGUMENT, names the
// field and says what it can be.
#ifndef RADLADS_SERVE_TRANSPORT_SAMPLING_FIELDS_H_
#define RADLADS_SERVE_TRANSPORT_SAMPLING_FIELDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/sampling_options.h"
#include "serve/transport/json_fields.h"

namespace radlads {

// The seed is 0 where the request has none.
absl::StatusOr<SamplingOptions> SamplingFields(const RequestJson& json, int64_t vocabulary);

struct StopFields {
  std::vector<std::string> texts;  // `stop`
  std::vector<int64_t> ids;        // `stop_token_ids`: at most 256
  bool ignore_eos = false;
  int64_t min_tokens = 0;
};
// `max_tokens`: what `min_tokens` can be at most.
absl::StatusOr<StopFields> ParseStops(const RequestJson& json, int64_t vocabulary, int64_t max_tokens);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_SAMPLING_FIELDS_H_
