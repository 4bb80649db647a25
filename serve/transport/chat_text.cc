#include "serve/transport/chat_text.h"

#include "base/status.h"

namespace radlads {

absl::StatusOr<std::string> ChatText(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                     bool add_generation_prompt) {
  auto text = ApplyChatTemplate(tokenizer, messages, add_generation_prompt);
  if (absl::IsFailedPrecondition(text.status()) || absl::IsUnimplemented(text.status())) {
    return InvalidArgument(text.status().message(), "; /v1/completions takes plain prompts");
  }
  if (!text.ok()) return Annotate(text.status(), "messages");
  return text;
}

absl::StatusOr<std::vector<int64_t>> RenderChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ChatText(messages, tokenizer, /*add_generation_prompt=*/true));
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  return std::vector<int64_t>(ids.begin(), ids.end());
}

}  // namespace radlads
