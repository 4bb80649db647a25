// The text and the tokens that the chat template of a tokenizer makes of messages. Errors are INVALID_ARGUMENT.
#ifndef RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_
#define RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// What the template makes of the messages, by ApplyChatTemplate, with its errors in words for a client: the template's
// own where it refuses the messages; what to do where there is no template, or one that data/tokenizer/jinja.h cannot
// render.
absl::StatusOr<std::string> ChatText(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                     bool add_generation_prompt);
// Of a whole conversation, with the beginning of an answer after it.
absl::StatusOr<std::vector<int64_t>> RenderChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_CHAT_TEXT_H_
