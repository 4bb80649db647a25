// The text and the tokens that the chat template of a tokenizer makes of messages. Errors are INVALID_ARGUMENT.
#ifndef RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_
#define RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// What comes after the messages.
enum class ChatEnd {
  kReply,     // the beginning of a reply
  kContinue,  // the rest of the last message, which is not closed
  kNothing,
};

struct ChatOptions {
  ChatEnd end = ChatEnd::kReply;
  JinjaValue::Dict variables = {};  // that the template sees, besides the messages
};

// A last message of the assistant's goes on, after any other comes a reply.
ChatEnd UsualEnd(std::span<const ChatMessage> messages);

// What the template makes of the messages, by ApplyChatTemplate, with its errors in words for a client: the template's
// own where it refuses the messages; what to do where there is no template, or one that data/tokenizer/jinja.h cannot
// render.
absl::StatusOr<std::string> ChatText(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                     const ChatOptions& options = {});

// That the template drops nothing: it writes the content and the name of every message, of whatever role, and reads
// reasoning_content (what it makes of it is its own affair) and the variables. `before`: so many first messages are not
// the client's.
absl::Status CheckChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer, const ChatOptions& options,
                       size_t before = 0);

// Of a whole conversation that passes CheckChat.
absl::StatusOr<std::vector<int64_t>> RenderChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                                const ChatOptions& options = {});

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_
