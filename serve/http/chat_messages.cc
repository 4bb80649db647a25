#include "serve/http/chat_messages.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/jinja_from_json.h"

namespace radlads {
namespace {

constexpr int kMaxDepth = 16;  // of a variable of a chat template

// Text, or a list of parts that are all text.
absl::StatusOr<std::string> Content(const RequestJson& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    return InvalidArgument(name, " must be a string or a list of {\"type\": \"text\", \"text\": ...}, found ",
                           Shown(content));
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const RequestJson& part = content[i];
    const auto wrong = [&](const char* what, const RequestJson& found) {
      return InvalidArgument(name, "[", i, "]", what, ", found ", Shown(found));
    };
    if (!part.is_object()) return wrong(" must be {\"type\": \"text\", \"text\": ...}", part);
    const RequestJson& type = Field(part, "type");
    // What a model refused with is what it said.
    const char* const words = type == "refusal" ? "refusal" : "text";
    if (type != words) return wrong(".type must be \"text\": this model reads nothing else", type);
    const RequestJson& said = Field(part, words);
    if (!said.is_string()) return wrong(Concatenate(".", words, " must be a string").c_str(), said);
    text += said.get_ref<const std::string&>();
  }
  return text;
}

absl::StatusOr<ChatMessage> Message(const RequestJson& json, RequestPath path, const std::string& name) {
  if (!json.is_object()) return InvalidArgument(name, " must be an object, found ", Shown(json));
  RADLADS_RETURN_IF_ERROR(CheckFields(json, path, "messages[].", name + "."));
  ChatMessage message;
  for (const auto& [key, text] : {std::pair("role", &message.role), std::pair("name", &message.name),
                                  std::pair("reasoning_content", &message.reasoning_content)}) {
    const RequestJson& value = Field(json, key);
    if (value.is_null() && text != &message.role) continue;
    if (!value.is_string()) return InvalidArgument(name, ".", key, " must be a string, found ", Shown(value));
    *text = value.get<std::string>();
  }
  const RequestJson& content = Field(json, "content");
  const RequestJson& refusal = Field(json, "refusal");
  if (!refusal.is_null() && !refusal.is_string()) {
    return InvalidArgument(name, ".refusal must be a string, found ", Shown(refusal));
  }
  const bool refused = refusal.is_string() && refusal != "";
  if (message.role != "assistant" ? refused : refused && !content.is_null() && content != "") {
    return InvalidArgument(name,
                           ".refusal stands for the content of an assistant's message that has none; leave it out");
  }
  if (message.role == "assistant" && (refused || content.is_null())) {
    message.content = refused ? refusal.get<std::string>() : "";
    return message;
  }
  RADLADS_ASSIGN_OR_RETURN(message.content, Content(content, name + ".content"));
  return message;
}

// What the server itself tells a template.
bool IsOurs(const std::string& name) {
  constexpr const char* kOurs[] = {"messages",  "add_generation_prompt", "continue_final_message", "tools",
                                   "documents", "chat_template"};
  return std::find(std::begin(kOurs), std::end(kOurs), name) != std::end(kOurs);
}

bool IsDeeper(const RequestJson& value, int levels) {
  if (!value.is_structured()) return false;
  return levels == 0 || std::any_of(value.begin(), value.end(),
                                    [levels](const RequestJson& item) { return IsDeeper(item, levels - 1); });
}

absl::StatusOr<JinjaValue::Dict> Variables(const RequestJson& json) {
  JinjaValue::Dict variables;
  const RequestJson& given = Field(json, "chat_template_kwargs");
  if (!given.is_null() && !given.is_object()) {
    return InvalidArgument("chat_template_kwargs must be an object, found ", Shown(given));
  }
  for (const auto& [name, value] : given.items()) {
    if (value.is_null()) continue;
    if (IsOurs(name)) return InvalidArgument("chat_template_kwargs.", name, " is not supported; leave it out");
    if (IsDeeper(value, kMaxDepth)) {
      return InvalidArgument("chat_template_kwargs.", name, " has more than ", kMaxDepth, " lists and objects within ",
                             "each other");
    }
    variables.emplace_back(name, JinjaFromJson(value));
  }
  for (const char* name : {"enable_thinking", "thinking", "reasoning_effort"}) {
    const RequestJson& value = Field(json, name);
    if (value.is_null()) continue;
    if (value.is_structured()) {
      return InvalidArgument(name, " must be a value of the chat template, as true or \"low\", found ", Shown(value));
    }
    const RequestJson& other = given.is_null() ? given : Field(given, name);
    if (other.is_null()) {
      variables.emplace_back(name, JinjaFromJson(value));
    } else if (other != value) {
      return InvalidArgument(name, " is ", Shown(value), ", but chat_template_kwargs.", name, " is ", Shown(other),
                             "; give one of them");
    }
  }
  return variables;
}

}  // namespace

absl::StatusOr<std::vector<ChatMessage>> Messages(const RequestJson& json, RequestPath path) {
  const RequestJson& list = Field(json, "messages");
  if (!list.is_array() || list.empty()) {
    return InvalidArgument("messages must be a list of one or more {\"role\": ..., \"content\": ...}, found ",
                           list.is_array() ? "an empty list" : Shown(list));
  }
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    RADLADS_ASSIGN_OR_RETURN(ChatMessage message, Message(list[i], path, Concatenate("messages[", i, "]")));
    messages.push_back(std::move(message));
  }
  return messages;
}

absl::StatusOr<ChatOptions> ChatOptionsOf(const RequestJson& json, std::span<const ChatMessage> messages) {
  ChatOptions options{.end = UsualEnd(messages)};
  const bool is_last = options.end == ChatEnd::kContinue;
  // Who says that a reply is to begin does not want the last message to go on, and the other way round.
  const bool begins_given = !Field(json, "add_generation_prompt").is_null();
  RADLADS_ASSIGN_OR_RETURN(const bool goes_on, Boolean(json, "continue_final_message", is_last && !begins_given));
  RADLADS_ASSIGN_OR_RETURN(const bool begins, Boolean(json, "add_generation_prompt", !goes_on));
  if (goes_on && begins) {
    return InvalidArgument("continue_final_message and add_generation_prompt exclude each other; set one to false");
  }
  if (goes_on && !is_last) {
    return InvalidArgument("continue_final_message needs a last message of the role \"assistant\"");
  }
  options.end = goes_on ? ChatEnd::kContinue : begins ? ChatEnd::kReply : ChatEnd::kNothing;
  RADLADS_ASSIGN_OR_RETURN(options.variables, Variables(json));
  if (messages.empty() && !options.variables.empty()) {
    return InvalidArgument(options.variables[0].first, " needs messages: a reply that goes on has its text already");
  }
  return options;
}

}  // namespace radlads
