#include "serve/http/text_call.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/http/chat_messages.h"
#include "serve/transport/chat_turns.h"

namespace radlads {
namespace {

constexpr int64_t kMaxLogprobs = 20;

absl::Status CheckSupported(const RequestJson& json) {
  const std::pair<const char*, RequestJson> harmless[] = {{"n", 1},
                                                          {"best_of", 1},
                                                          {"suffix", ""},
                                                          {"modalities", {"text"}},
                                                          {"audio", nullptr},
                                                          {"prediction", nullptr},
                                                          {"web_search_options", nullptr}};
  for (const auto& [name, value] : harmless) RADLADS_RETURN_IF_ERROR(Unsupported(json, name, value));
  return CheckChatFields(json);
}

// {"id": bias}, as OpenAI spells it: the ids are strings.
absl::StatusOr<std::map<int64_t, double>> LogitBias(const RequestJson& json, int64_t vocabulary) {
  std::map<int64_t, double> biases;
  const RequestJson& value = Field(json, "logit_bias");
  if (value.is_null()) return biases;
  if (!value.is_object()) {
    return InvalidArgument("logit_bias must be an object of token ids and numbers, found ", Shown(value));
  }
  for (const auto& [name, bias] : value.items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size() || id < 0 || id >= vocabulary) {
      return InvalidArgument("logit_bias: ", Shown(name), " is no token id below ", vocabulary);
    }
    RADLADS_ASSIGN_OR_RETURN(biases[id], Number(value, name.c_str(), 0, -100, 100));
  }
  return biases;
}

absl::StatusOr<SamplingOptions> Sampling(const RequestJson& json, int64_t vocabulary) {
  constexpr double kHuge = std::numeric_limits<float>::max();
  SamplingOptions options;
  RADLADS_ASSIGN_OR_RETURN(options.temperature, Number(json, "temperature", 1, 0, kHuge));
  RADLADS_ASSIGN_OR_RETURN(options.top_p, Number(json, "top_p", 1, 1e-9, 1));
  RADLADS_ASSIGN_OR_RETURN(options.top_k, Integer(json, "top_k", 0, -1, INT64_MAX));
  options.top_k = std::max<int64_t>(options.top_k, 0);  // some clients write -1 for all
  RADLADS_ASSIGN_OR_RETURN(options.min_p, Number(json, "min_p", 0, 0, 1));
  RADLADS_ASSIGN_OR_RETURN(options.repetition_penalty, Number(json, "repetition_penalty", 1, 1e-9, kHuge));
  RADLADS_ASSIGN_OR_RETURN(options.presence_penalty, Number(json, "presence_penalty", 0, -2, 2));
  RADLADS_ASSIGN_OR_RETURN(options.frequency_penalty, Number(json, "frequency_penalty", 0, -2, 2));
  RADLADS_ASSIGN_OR_RETURN(options.logit_bias, LogitBias(json, vocabulary));
  if (Field(json, "seed").is_null()) {
    std::random_device random;
    options.seed = (static_cast<uint64_t>(random()) << 32) | random();
  } else {
    RADLADS_ASSIGN_OR_RETURN(const int64_t seed, Integer(json, "seed", 0, INT64_MIN, INT64_MAX));
    options.seed = static_cast<uint64_t>(seed);
  }
  RADLADS_RETURN_IF_ERROR(options.Check(vocabulary));
  return options;
}

// `response_format`: whether the reply is to be a JSON object.
absl::StatusOr<bool> WantsJson(const RequestJson& json) {
  const RequestJson& format = Field(json, "response_format");
  if (format.is_null()) return false;
  if (!format.is_object()) return InvalidArgument("response_format must be an object, found ", Shown(format));
  RADLADS_ASSIGN_OR_RETURN(const std::string type, String(format, "type"));
  if (type == "json_schema") {
    return InvalidArgument(
        "response_format: json_schema is not supported; say in a message what the object has, and ask ",
        "for {\"type\": \"json_object\"}");
  }
  if (type == "text" || type == "json_object") return type == "json_object";
  return InvalidArgument("response_format.type must be \"text\" or \"json_object\", found ", Shown(format["type"]));
}

// All but the prompt and log probabilities.
absl::StatusOr<TextCall> ParseCommon(const RequestJson& json, const ServedModel& model, const char* max_tokens_name,
                                     int64_t max_tokens) {
  RADLADS_RETURN_IF_ERROR(CheckSupported(json));
  TextCall call;
  TextRequest& text = call.text;
  RADLADS_ASSIGN_OR_RETURN(text.session, String(json, "session_id", ""));
  RADLADS_ASSIGN_OR_RETURN(text.snapshot, String(json, "previous_response_id", ""));
  if (!text.session.empty() && !text.snapshot.empty()) {
    return InvalidArgument("session_id and previous_response_id exclude each other; give one of them");
  }
  RADLADS_ASSIGN_OR_RETURN(text.keep, Boolean(json, "store", false));
  RADLADS_ASSIGN_OR_RETURN(text.max_tokens, Integer(json, max_tokens_name, max_tokens, 0, INT64_MAX));
  RADLADS_ASSIGN_OR_RETURN(text.stop, Stops(json));
  RADLADS_ASSIGN_OR_RETURN(text.json, WantsJson(json));
  RADLADS_ASSIGN_OR_RETURN(text.sampling, Sampling(json, model.service->info().vocabulary));
  RADLADS_ASSIGN_OR_RETURN(call.stream, Boolean(json, "stream", false));
  const RequestJson& options = Field(json, "stream_options");
  if (!options.is_null()) {
    if (!options.is_object()) return InvalidArgument("stream_options must be an object, found ", Shown(options));
    if (!call.stream) return InvalidArgument("stream_options needs stream to be true");
    RADLADS_ASSIGN_OR_RETURN(call.include_usage, Boolean(options, "include_usage", false));
  }
  return call;
}

bool GoesOn(const TextRequest& text) {
  return !text.session.empty() || !text.snapshot.empty();
}

}  // namespace

absl::StatusOr<TextCall> ParseChatCall(const RequestJson& json, const ServedModel& model, int64_t max_tokens) {
  const bool is_new = !Field(json, "max_completion_tokens").is_null();
  if (is_new && !Field(json, "max_tokens").is_null()) {
    return InvalidArgument("max_tokens and max_completion_tokens are two names of one thing; give one of them");
  }
  RADLADS_ASSIGN_OR_RETURN(TextCall call,
                           ParseCommon(json, model, is_new ? "max_completion_tokens" : "max_tokens", max_tokens));
  call.chat = true;
  TextRequest& text = call.text;
  RADLADS_ASSIGN_OR_RETURN(const bool logprobs, Boolean(json, "logprobs", false));
  RADLADS_ASSIGN_OR_RETURN(const int64_t top, Integer(json, "top_logprobs", 0, 0, kMaxLogprobs));
  if (top > 0 && !logprobs) return InvalidArgument("top_logprobs needs logprobs to be true");
  if (logprobs) text.logprobs = top;

  std::vector<ChatMessage> messages;
  if (Field(json, "messages") != RequestJson::array()) {
    RADLADS_ASSIGN_OR_RETURN(messages, Messages(json));
  }
  RADLADS_RETURN_IF_ERROR(SetChatPrompt(messages, model, &text));
  return call;
}

absl::StatusOr<TextCall> ParseCompletionCall(const RequestJson& json, const ServedModel& model, int64_t max_tokens) {
  RADLADS_ASSIGN_OR_RETURN(TextCall call, ParseCommon(json, model, "max_tokens", max_tokens));
  TextRequest& text = call.text;
  if (!Field(json, "logprobs").is_null()) {
    RADLADS_ASSIGN_OR_RETURN(text.logprobs, Integer(json, "logprobs", 0, 0, kMaxLogprobs));
  }
  const RequestJson* prompt = &Field(json, "prompt");
  if (prompt->is_array() && !prompt->empty() && !(*prompt)[0].is_number()) {
    if (prompt->size() > 1) return InvalidArgument("prompt has ", prompt->size(), " prompts; send a request for each");
    prompt = &(*prompt)[0];
  }
  if (prompt->is_string()) {
    const std::vector<int32_t> ids = model.tokenizer->Encode(prompt->get_ref<const std::string&>());
    text.prompt.assign(ids.begin(), ids.end());
  } else if (prompt->is_array()) {
    RADLADS_ASSIGN_OR_RETURN(text.prompt, TokenIds(*prompt, "prompt", model.service->info().vocabulary));
  } else if (!prompt->is_null() || !GoesOn(text)) {
    return InvalidArgument("prompt must be a string or a list of token ids, found ", Shown(*prompt));
  }
  if (text.prompt.empty() && !GoesOn(text)) {
    return InvalidArgument("prompt has no token; give at least the begin-of-text token");
  }
  return call;
}

}  // namespace radlads
