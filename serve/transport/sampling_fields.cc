#include "serve/transport/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>

#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kMaxStopIds = 256;

// {"id": bias}, as OpenAI spells it: the ids are strings.
absl::StatusOr<std::map<int64_t, double>> LogitBias(const RequestJson& json, int64_t vocabulary) {
  std::map<int64_t, double> biases;
  const RequestJson& value = Field(json, "logit_bias");
  if (value.is_null() || value == RequestJson::array()) return biases;
  if (!value.is_object()) {
    return InvalidArgument("logit_bias must be an object of token ids and numbers, found ", Shown(value));
  }
  for (const auto& [name, bias] : value.items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size() || id < 0 || id >= vocabulary) {
      return InvalidArgument("logit_bias: ", Shown(name), " is no token id below ", vocabulary);
    }
    RADLADS_ASSIGN_OR_RETURN(biases[id], InObject("logit_bias", Number(value, name.c_str(), 0, -100, 100)));
  }
  return biases;
}

}  // namespace

absl::StatusOr<SamplingOptions> SamplingFields(const RequestJson& json, int64_t vocabulary) {
  constexpr double kHuge = std::numeric_limits<float>::max();
  SamplingOptions options;
  RADLADS_ASSIGN_OR_RETURN(options.temperature, Number(json, "temperature", 1, 0, kHuge));
  RADLADS_ASSIGN_OR_RETURN(options.top_p, Number(json, "top_p", 1, 0, 1));
  RADLADS_ASSIGN_OR_RETURN(options.top_k, Integer(json, "top_k", 0, -1, INT64_MAX));
  options.top_k = std::max<int64_t>(options.top_k, 0);  // some clients write -1 for all
  RADLADS_ASSIGN_OR_RETURN(options.min_p, Number(json, "min_p", 0, 0, 1));
  RADLADS_ASSIGN_OR_RETURN(options.repetition_penalty, Number(json, "repetition_penalty", 1, 1e-9, kHuge));
  RADLADS_ASSIGN_OR_RETURN(options.presence_penalty, Number(json, "presence_penalty", 0, -2, 2));
  RADLADS_ASSIGN_OR_RETURN(options.frequency_penalty, Number(json, "frequency_penalty", 0, -2, 2));
  RADLADS_ASSIGN_OR_RETURN(options.logit_bias, LogitBias(json, vocabulary));
  RADLADS_ASSIGN_OR_RETURN(const int64_t seed, Integer(json, "seed", 0, INT64_MIN, INT64_MAX));
  options.seed = static_cast<uint64_t>(seed);
  RADLADS_RETURN_IF_ERROR(options.Check(vocabulary));
  return options;
}

absl::StatusOr<StopFields> ParseStops(const RequestJson& json, int64_t vocabulary, int64_t max_tokens) {
  StopFields stops;
  RADLADS_ASSIGN_OR_RETURN(stops.texts, Stops(json));
  const RequestJson& ids = Field(json, "stop_token_ids");
  if (!ids.is_null()) {
    if (!ids.is_array() || ids.size() > kMaxStopIds) {
      return InvalidArgument("stop_token_ids must be a list of at most ", kMaxStopIds, " token ids, found ",
                             ids.is_array() ? Concatenate(ids.size(), " of them") : Shown(ids));
    }
    RADLADS_ASSIGN_OR_RETURN(stops.ids, TokenIds(ids, "stop_token_ids", vocabulary));
  }
  RADLADS_ASSIGN_OR_RETURN(stops.ignore_eos, Boolean(json, "ignore_eos", false));
  RADLADS_ASSIGN_OR_RETURN(stops.min_tokens, Integer(json, "min_tokens", 0, 0, max_tokens));
  return stops;
}

}  // namespace radlads
