// What chat requests share: the fields of no effect, the messages, and the tokens that the chat template of a tokenizer makes of them. Errors are
// INVALID_ARGUMENT and name the field.
#ifndef RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
#define RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/http/json_fields.h"

namespace radlads {

// What servers and clients know beyond a text that goes on, and would change it (tools, a template of the request's own)
// must be missing, or have the value that changes nothing.
absl::Status CheckChatFields(const RequestJson& json);

// The field `messages`: one or more {"role", "content"}, content a string or a list of {"type": "text", "text"}.
absl::StatusOr<std::vector<ChatMessage>> Messages(const RequestJson& json);

// What the template makes of them, by ApplyChatTemplate, with its errors in words for a client: the template's own
// where it refuses the messages; what to do where there is no template, or one that data/tokenizer/jinja.h cannot
// render.
absl::StatusOr<std::string> ChatText(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                     bool add_generation_prompt);
// Of a whole conversation, with the beginning of an answer after it.
absl::StatusOr<std::vector<int64_t>> RenderChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
