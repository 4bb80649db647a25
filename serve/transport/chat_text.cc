#include "serve/transport/chat_text.h"

#include <cctype>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

// Stands at the end of a message that goes on. Its space tells a template that trims messages from one that does not.
constexpr std::string_view kGoesOn = "radlads-goes-on ";

// Transformers' continue_final_message.
absl::StatusOr<std::string> CutAtEnd(std::string text) {
  size_t end = text.rfind(kGoesOn);
  if (end != std::string::npos) {
    text.resize(end);
    return text;
  }
  end = text.rfind(kGoesOn.substr(0, kGoesOn.size() - 1));
  if (end == std::string::npos) {
    return InvalidArgument(
        "messages: the chat template of this model does not write the last one, so that it cannot go on; end with a "
        "message of the user's");
  }
  while (end > 0 && std::isspace(static_cast<unsigned char>(text[end - 1])) != 0) --end;
  text.resize(end);
  return text;
}

bool ReadsReasoning(const Tokenizer& tokenizer, const ChatOptions& options) {
  const ChatMessage messages[] = {
      {"user", "radlads-question"},
      {.role = "assistant", .content = "radlads-answer", .reasoning_content = "radlads-thought"}};
  const auto text = ChatText(messages, tokenizer, {.end = ChatEnd::kNothing, .variables = options.variables});
  return text.ok() && text->find(messages[1].reasoning_content) != std::string::npos;
}

}  // namespace

ChatEnd UsualEnd(std::span<const ChatMessage> messages) {
  return !messages.empty() && messages.back().role == "assistant" ? ChatEnd::kContinue : ChatEnd::kReply;
}

absl::StatusOr<std::string> ChatText(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                     const ChatOptions& options) {
  const bool goes_on = options.end == ChatEnd::kContinue;
  std::vector<ChatMessage> marked;
  if (goes_on) {
    RADLADS_CHECK(!messages.empty()) << "there is no message that could go on";
    marked.assign(messages.begin(), messages.end());
    marked.back().content += kGoesOn;
    messages = marked;
  }
  auto text = ApplyChatTemplate(tokenizer, messages, options.end == ChatEnd::kReply, options.variables);
  if (absl::IsFailedPrecondition(text.status()) || absl::IsUnimplemented(text.status())) {
    return InvalidArgument(text.status().message(), "; /v1/completions takes plain prompts");
  }
  if (!text.ok()) return Annotate(text.status(), "messages");
  return goes_on ? CutAtEnd(*std::move(text)) : text;
}

absl::Status CheckChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer, const ChatOptions& options,
                       size_t before) {
  for (const auto& [name, value] : options.variables) {
    if (!ChatTemplateReads(tokenizer, name)) {
      return InvalidArgument(name, ": the chat template of this model does not read it; leave it out");
    }
  }
  // In the place of each text one that is found again.
  std::vector<ChatMessage> marked(messages.begin(), messages.end());
  const auto mark = [](std::string* text, size_t i, const char* what) {
    if (!text->empty()) *text = Concatenate("radlads-", i, "-", what);
  };
  bool reasons = false;
  for (size_t i = 0; i < marked.size(); ++i) {
    mark(&marked[i].content, i, "content");
    mark(&marked[i].name, i, "name");
    reasons |= !marked[i].reasoning_content.empty();
  }
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ChatText(marked, tokenizer, options));
  const bool reads = !reasons || ReadsReasoning(tokenizer, options);
  for (size_t i = before; i < marked.size(); ++i) {
    const ChatMessage& message = marked[i];
    const std::string shown = Concatenate("messages[", i - before, "]");
    if (!message.content.empty() && text.find(message.content) == std::string::npos) {
      return InvalidArgument(shown, ": the chat template of this model writes no message of the role \"", message.role,
                             "\" in this place; leave it out, or say it in a message of another role");
    }
    if (!message.name.empty() && text.find(message.name) == std::string::npos) {
      return InvalidArgument(shown, ".name: the chat template of this model does not write it; leave it out");
    }
    if (!message.reasoning_content.empty() && !(reads && message.role == "assistant")) {
      return InvalidArgument(shown, ".reasoning_content: the chat template of this model does not read it ",
                             "in a message of the role \"", message.role, "\"; leave it out");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> RenderChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                                const ChatOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ChatText(messages, tokenizer, options));
  RADLADS_RETURN_IF_ERROR(CheckChat(messages, tokenizer, options));
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  return std::vector<int64_t>(ids.begin(), ids.end());
}

}  // namespace radlads
