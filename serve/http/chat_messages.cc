#include "serve/http/chat_messages.h"

#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

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

}  // namespace

absl::Status CheckChatFields(const RequestJson& json) {
  const std::pair<const char*, RequestJson> harmless[] = {{"tools", RequestJson::array()},
                                                          {"functions", RequestJson::array()},
                                                          {"echo", false},
                                                          {"add_generation_prompt", true},
                                                          {"continue_final_message", false},
                                                          {"chat_template", nullptr},
                                                          {"chat_template_kwargs", RequestJson::object()}};
  for (const auto& [name, value] : harmless) RADLADS_RETURN_IF_ERROR(Unsupported(json, name, value));
  return absl::OkStatus();
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

}  // namespace radlads
