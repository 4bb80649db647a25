#include "eval/chat_json.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"
#include "data/tokenizer/chat_template.h"
#include "eval/completion_fields.h"

namespace radlads {
namespace {

constexpr int64_t kMaxTopLogprobs = 100;

// Text, or a list of parts that are all text.
absl::StatusOr<std::string> Content(const RequestJson& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  bool is_text = content.is_array();
  for (size_t i = 0; is_text && i < content.size(); ++i) {
    const RequestJson& part = content[i];
    is_text = part.is_object() && Field(part, "type") == "text" && Field(part, "text").is_string();
    if (is_text) text += part["text"].get_ref<const std::string&>();
  }
  if (is_text) return text;
  return InvalidArgument(name, " must be a string or a list of {\"type\": \"text\", \"text\": ...}, found ",
                         content.is_array() ? "other parts" : Shown(content));
}

absl::StatusOr<std::vector<ChatMessage>> Messages(const RequestJson& json) {
  const RequestJson& list = Field(json, "messages");
  if (!list.is_array() || list.empty()) {
    return InvalidArgument("messages must be a list of one or more {\"role\": ..., \"content\": ...}, found ",
                           list.is_array() ? "an empty list" : Shown(list));
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = Concatenate("messages[", i, "]");
    const RequestJson& message = list[i];
    if (!message.is_object()) return InvalidArgument(name, " must be an object, found ", Shown(message));
    const RequestJson& role = Field(message, "role");
    if (!role.is_string()) return InvalidArgument(name, ".role must be a string, found ", Shown(role));
    for (const char* calls : {"tool_calls", "function_call"}) {
      const absl::Status supported = Unsupported(message, calls, nullptr);
      if (!supported.ok()) return Annotate(supported, name);
    }
    RADLADS_ASSIGN_OR_RETURN(std::string content, Content(Field(message, "content"), name + ".content"));
    messages.push_back({.role = role.get<std::string>(), .content = std::move(content)});
  }
  return messages;
}

// What servers and clients know beyond a text that goes on, and would change it.
absl::Status CheckSupported(const RequestJson& json) {
  const std::pair<const char*, RequestJson> harmless[] = {{"tools", RequestJson::array()},
                                                          {"functions", RequestJson::array()},
                                                          {"response_format", {{"type", "text"}}},
                                                          {"echo", false},
                                                          {"add_generation_prompt", true},
                                                          {"continue_final_message", false},
                                                          {"chat_template", nullptr},
                                                          {"chat_template_kwargs", RequestJson::object()}};
  for (const auto& [name, value] : harmless) RADLADS_RETURN_IF_ERROR(Unsupported(json, name, value));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> Render(const std::vector<ChatMessage>& messages, const Tokenizer& tokenizer) {
  const auto text = ApplyChatTemplate(tokenizer, messages, /*add_generation_prompt=*/true);
  if (absl::IsFailedPrecondition(text.status()) || absl::IsUnimplemented(text.status())) {
    return InvalidArgument(text.status().message(), "; /v1/completions takes plain prompts");
  }
  if (!text.ok()) return Annotate(text.status(), "messages");
  const std::vector<int32_t> ids = tokenizer.Encode(*text);
  return std::vector<int64_t>(ids.begin(), ids.end());
}

ReplyJson Described(int64_t id, float logprob, const Tokenizer& tokenizer) {
  ReplyJson bytes;
  if (const auto text = tokenizer.BytesOf(static_cast<int32_t>(id))) {
    bytes = ReplyJson::array();
    for (const unsigned char byte : *text) bytes.push_back(byte);
  }
  return {{"token", TokenName(tokenizer, id)}, {"logprob", logprob}, {"bytes", bytes}};
}

ReplyJson Logprobs(const Completion& completion, int64_t top, const Tokenizer& tokenizer) {
  ReplyJson content = ReplyJson::array();
  for (const CompletionToken& token : completion.generated) {
    ReplyJson entry = Described(token.id, *token.logprob, tokenizer);
    entry["top_logprobs"] = ReplyJson::array();
    for (int64_t i = 0; i < std::min<int64_t>(top, token.top.size()); ++i) {
      entry["top_logprobs"].push_back(Described(token.top[i].first, token.top[i].second, tokenizer));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", content}, {"refusal", nullptr}};
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseChatRequest(std::string_view body, const Tokenizer& tokenizer,
                                                   const CompletionModel& model) {
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body));
  RADLADS_RETURN_IF_ERROR(CheckSupported(json));
  const bool is_new = !Field(json, "max_completion_tokens").is_null();
  if (is_new && !Field(json, "max_tokens").is_null()) {
    return InvalidArgument("max_tokens and max_completion_tokens are two names of one thing; give one of them");
  }
  const int64_t context = model.max_length();
  RADLADS_ASSIGN_OR_RETURN(CompletionFields fields,
                           ParseCompletionFields(json, is_new ? "max_completion_tokens" : "max_tokens", context));
  RADLADS_ASSIGN_OR_RETURN(const bool logprobs, Boolean(json, "logprobs", false));
  RADLADS_ASSIGN_OR_RETURN(const int64_t top, Integer(json, "top_logprobs", 0, 0, kMaxTopLogprobs));
  if (logprobs) fields.request.logprobs = top;
  if (top > 0 && !logprobs) return InvalidArgument("top_logprobs needs logprobs to be true");
  RADLADS_ASSIGN_OR_RETURN(const std::vector<ChatMessage> messages, Messages(json));
  RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> prompt, Render(messages, tokenizer));
  return RequestFor(fields, std::move(prompt), "the text of messages", context);
}

std::string ChatReply(const ReplyHeader& header, const CompletionRequest& request, const Completion& completion,
                      const Tokenizer& tokenizer) {
  const ReplyJson choice = {
      {"index", 0},
      {"message", {{"role", "assistant"}, {"content", completion.text}}},
      {"logprobs", request.logprobs ? Logprobs(completion, *request.logprobs, tokenizer) : ReplyJson()},
      {"finish_reason", FinishReasonName(completion)}};
  return Dump({{"id", header.id},
               {"object", "chat.completion"},
               {"created", header.created},
               {"model", header.model},
               {"choices", ReplyJson::array({choice})},
               {"usage", Usage({request}, {completion})}});
}

}  // namespace radlads
