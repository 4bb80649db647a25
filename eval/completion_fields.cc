#include "eval/completion_fields.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

// Of OpenAI's API are the names and the temperature; a client that names no length gets a whole paragraph and not
// OpenAI's 16 tokens, because lm_eval's gguf client never names one.
constexpr int64_t kDefaultMaxTokens = 256;
// Each prompt of a request has a copy of its stops.
constexpr size_t kMaxStopBytes = 64 << 10;

absl::StatusOr<double> Number(const RequestJson& json, const char* name, double otherwise, double low, double high) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
    return InvalidArgument(name, " must be a number from ", low, " to ", high, ", found ", Shown(value));
  }
  return value.get<double>();
}

absl::StatusOr<std::vector<std::string>> Stops(const RequestJson& json) {
  const RequestJson& value = Field(json, "stop");
  std::vector<std::string> stops;
  if (value.is_null()) return stops;
  const auto wrong = [](const RequestJson& found) {
    return InvalidArgument("stop must be a string or a list of strings, found ", Shown(found));
  };
  if (value.is_string()) {
    stops.push_back(value.get<std::string>());
  } else if (value.is_array()) {
    for (const RequestJson& stop : value) {
      if (!stop.is_string()) return wrong(stop);
      stops.push_back(stop.get<std::string>());
    }
  } else {
    return wrong(value);
  }
  size_t bytes = 0;
  for (const std::string& stop : stops) bytes += sizeof(stop) + stop.size();
  if (bytes > kMaxStopBytes) return InvalidArgument("stop: the texts are more than 64 KiB together");
  return stops;
}

absl::Status CheckSupported(const RequestJson& json) {
  RADLADS_RETURN_IF_ERROR(Unsupported(json, "n", 1));
  RADLADS_RETURN_IF_ERROR(Unsupported(json, "stream", false));
  RADLADS_RETURN_IF_ERROR(Unsupported(json, "logit_bias", RequestJson::object()));
  for (const char* name : {"presence_penalty", "frequency_penalty"}) {
    RADLADS_RETURN_IF_ERROR(Unsupported(json, name, 0));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Dump(const ReplyJson& json) {
  return json.dump(-1, ' ', false, ReplyJson::error_handler_t::replace);
}

std::string Shown(const RequestJson& value) {
  if (value.is_structured()) return Concatenate("a JSON ", value.type_name());  // as deep as the client likes
  constexpr size_t kLongest = 64;
  if (value.is_string() && value.get_ref<const std::string&>().size() > kLongest) {
    return Concatenate("a string of ", value.get_ref<const std::string&>().size(), " bytes");
  }
  return Dump(value);
}

absl::StatusOr<RequestJson> ParseObject(std::string_view body) {
  RequestJson json = RequestJson::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return InvalidArgument("the body is not JSON");
  if (!json.is_object()) return InvalidArgument("the body is a JSON ", json.type_name(), ", expected an object");
  return json;
}

const RequestJson& Field(const RequestJson& json, const char* name) {
  static const RequestJson kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

absl::StatusOr<int64_t> Integer(const RequestJson& json, const char* name, int64_t otherwise, int64_t low,
                                int64_t high) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    return InvalidArgument(name, " must be an integer from ", low, " to ", high, ", found ", Shown(value));
  }
  return value.get<int64_t>();
}

absl::StatusOr<bool> Boolean(const RequestJson& json, const char* name, bool otherwise) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) return InvalidArgument(name, " must be true or false, found ", Shown(value));
  return value.get<bool>();
}

absl::StatusOr<std::string> String(const RequestJson& json, const char* name) {
  const RequestJson& value = Field(json, name);
  if (!value.is_string()) return InvalidArgument(name, " must be a string, found ", Shown(value));
  return value.get<std::string>();
}

absl::Status Unsupported(const RequestJson& json, const char* name, const RequestJson& harmless) {
  const RequestJson& value = Field(json, name);
  if (value.is_null() || value == harmless) return absl::OkStatus();
  return InvalidArgument(name, " is not supported; leave it out",
                         harmless.is_null() ? "" : Concatenate(", or set it to ", Dump(harmless)));
}

absl::StatusOr<CompletionFields> ParseCompletionFields(const RequestJson& json, const char* max_tokens,
                                                       int64_t context) {
  RADLADS_RETURN_IF_ERROR(CheckSupported(json));
  CompletionFields fields;
  CompletionRequest& request = fields.request;
  RADLADS_ASSIGN_OR_RETURN(request.max_tokens, Integer(json, max_tokens, kDefaultMaxTokens, 0, context));
  if (!Field(json, max_tokens).is_null()) fields.max_tokens = request.max_tokens;
  RADLADS_ASSIGN_OR_RETURN(request.stop, Stops(json));
  RADLADS_ASSIGN_OR_RETURN(request.temperature, Number(json, "temperature", 1, 0, std::numeric_limits<double>::max()));
  RADLADS_ASSIGN_OR_RETURN(request.top_p, Number(json, "top_p", 1, 1e-9, 1));
  RADLADS_ASSIGN_OR_RETURN(request.top_k, Integer(json, "top_k", 0, -1, INT64_MAX));
  request.top_k = std::max<int64_t>(request.top_k, 0);  // some clients write -1 for all
  RADLADS_ASSIGN_OR_RETURN(const int64_t seed, Integer(json, "seed", 0, INT64_MIN, INT64_MAX));
  request.seed = static_cast<uint64_t>(seed);
  RADLADS_ASSIGN_OR_RETURN(fields.keep, Integer(json, "truncate_prompt_tokens", 0, -1, INT64_MAX));
  return fields;
}

absl::StatusOr<CompletionRequest> RequestFor(const CompletionFields& fields, std::vector<int64_t> prompt,
                                             const std::string& name, int64_t context) {
  if (prompt.empty()) return InvalidArgument(name, " has no token; give at least the begin-of-text token");
  // The last token that is generated is not read.
  const int64_t room = context + 1 - std::max<int64_t>(fields.max_tokens.value_or(1), 1);
  const int64_t limit = fields.keep < 0 ? room : fields.keep;
  if (fields.keep != 0 && static_cast<int64_t>(prompt.size()) > limit) {
    prompt.erase(prompt.begin(), prompt.end() - limit);
  }
  const int64_t size = prompt.size();
  if (size > room) {
    return InvalidArgument(name, " has ", size, " tokens and max_tokens is ", fields.request.max_tokens,
                           ", the context of the model is ", context,
                           " tokens; shorten it, or set truncate_prompt_tokens to -1 to lose its beginning");
  }
  CompletionRequest request = fields.request;
  request.prompt = std::move(prompt);
  if (!fields.max_tokens) request.max_tokens = std::min(request.max_tokens, context + 1 - size);
  return request;
}

std::string TokenName(const Tokenizer& tokenizer, int64_t id) {
  const auto bytes = tokenizer.BytesOf(static_cast<int32_t>(id));
  if (!bytes) return Concatenate("token_id:", id);
  const int32_t ids[] = {static_cast<int32_t>(id)};
  const auto text = tokenizer.Decode(ids, /*skip_special_tokens=*/false);
  if (text.ok() && *text == *bytes) return *text;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string name = "bytes:";
  for (const unsigned char byte : *bytes) name += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  return name;
}

const char* FinishReasonName(const Completion& completion) {
  return completion.stopped ? "stop" : "length";
}

ReplyJson Usage(const std::vector<CompletionRequest>& requests, const std::vector<Completion>& completions) {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  for (const CompletionRequest& request : requests) prompt_tokens += request.prompt.size();
  for (const Completion& completion : completions) completion_tokens += completion.generated.size();
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

}  // namespace radlads
