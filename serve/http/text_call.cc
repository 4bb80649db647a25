#include "serve/http/text_call.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/http/chat_messages.h"
#include "serve/transport/chat_turns.h"
#include "serve/transport/request_fields.h"
#include "serve/transport/sampling_fields.h"

namespace radlads {
namespace {

constexpr int64_t kMaxLogprobs = 20;

absl::StatusOr<SamplingOptions> Sampling(const RequestJson& json, int64_t vocabulary) {
  RADLADS_ASSIGN_OR_RETURN(SamplingOptions options, SamplingFields(json, vocabulary));
  if (Field(json, "seed").is_null()) {
    std::random_device random;
    options.seed = (static_cast<uint64_t>(random()) << 32) | random();
  }
  return options;
}

// `response_format`: whether the reply is to be a JSON object.
absl::StatusOr<bool> WantsJson(const RequestJson& json, RequestPath path) {
  const RequestJson& format = Field(json, "response_format");
  if (format.is_null()) return false;
  if (!format.is_object()) return InvalidArgument("response_format must be an object, found ", Shown(format));
  RADLADS_ASSIGN_OR_RETURN(const std::string type, InObject("response_format", String(format, "type")));
  if (type == "json_schema") {
    return InvalidArgument(
        "response_format: json_schema is not supported; say in a message what the object has, and ask ",
        "for {\"type\": \"json_object\"}");
  }
  RADLADS_RETURN_IF_ERROR(CheckFields(format, path, "response_format."));
  if (type == "text" || type == "json_object") return type == "json_object";
  return InvalidArgument("response_format.type must be \"text\" or \"json_object\", found ", Shown(format["type"]));
}

// All but the prompt and log probabilities.
absl::StatusOr<TextCall> ParseCommon(const RequestJson& json, RequestPath path, const ServedModel& model,
                                     const char* max_tokens_name, int64_t max_tokens) {
  RADLADS_RETURN_IF_ERROR(CheckFields(json, path));
  TextCall call;
  TextRequest& text = call.text;
  RADLADS_ASSIGN_OR_RETURN(text.session, String(json, "session_id", ""));
  RADLADS_ASSIGN_OR_RETURN(text.snapshot, String(json, "previous_response_id", ""));
  if (!text.session.empty() && !text.snapshot.empty()) {
    return InvalidArgument("session_id and previous_response_id exclude each other; give one of them");
  }
  RADLADS_ASSIGN_OR_RETURN(text.keep, Boolean(json, "store", false));
  RADLADS_ASSIGN_OR_RETURN(text.max_tokens, Integer(json, max_tokens_name, max_tokens, 0, INT64_MAX));
  const int64_t vocabulary = model.service->info().vocabulary;
  RADLADS_ASSIGN_OR_RETURN(StopFields stops, ParseStops(json, vocabulary, text.max_tokens));
  text.stop = std::move(stops.texts);
  text.stop_ids = std::move(stops.ids);
  text.ignore_eos = stops.ignore_eos;
  text.min_tokens = stops.min_tokens;
  RADLADS_ASSIGN_OR_RETURN(text.json, WantsJson(json, path));
  if (text.json && text.min_tokens > 0) {
    return InvalidArgument("min_tokens is not supported with response_format json_object, which ends with the object");
  }
  RADLADS_ASSIGN_OR_RETURN(text.sampling, Sampling(json, vocabulary));
  RADLADS_ASSIGN_OR_RETURN(call.stream, Boolean(json, "stream", false));
  const RequestJson& options = Field(json, "stream_options");
  if (!options.is_null()) {
    if (!options.is_object()) return InvalidArgument("stream_options must be an object, found ", Shown(options));
    if (!call.stream && !options.empty()) return InvalidArgument("stream_options needs stream to be true");
    RADLADS_RETURN_IF_ERROR(CheckFields(options, path, "stream_options."));
    RADLADS_ASSIGN_OR_RETURN(call.include_usage, InObject("stream_options", Boolean(options, "include_usage", false)));
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
  RADLADS_ASSIGN_OR_RETURN(TextCall call, ParseCommon(json, RequestPath::kServeChat, model,
                                                      is_new ? "max_completion_tokens" : "max_tokens", max_tokens));
  call.chat = true;
  TextRequest& text = call.text;
  RADLADS_ASSIGN_OR_RETURN(const bool logprobs, Boolean(json, "logprobs", false));
  RADLADS_ASSIGN_OR_RETURN(const int64_t top, Integer(json, "top_logprobs", 0, 0, kMaxLogprobs));
  if (top > 0 && !logprobs) return InvalidArgument("top_logprobs needs logprobs to be true");
  if (logprobs) text.logprobs = top;

  std::vector<ChatMessage> messages;
  if (Field(json, "messages") != RequestJson::array()) {
    RADLADS_ASSIGN_OR_RETURN(messages, Messages(json, RequestPath::kServeChat));
  }
  RADLADS_ASSIGN_OR_RETURN(const ChatOptions options, ChatOptionsOf(json, messages));
  RADLADS_RETURN_IF_ERROR(SetChatPrompt(messages, model, options, &text));
  return call;
}

absl::StatusOr<TextCall> ParseCompletionCall(const RequestJson& json, const ServedModel& model, int64_t max_tokens) {
  RADLADS_ASSIGN_OR_RETURN(TextCall call,
                           ParseCommon(json, RequestPath::kServeCompletions, model, "max_tokens", max_tokens));
  TextRequest& text = call.text;
  if (const RequestJson& logprobs = Field(json, "logprobs"); !logprobs.is_null() && logprobs != false) {
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
