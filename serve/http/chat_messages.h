// The messages of chat requests in JSON, and what is said about the chat template. Errors are INVALID_ARGUMENT and name
// the field.
#ifndef RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
#define RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "serve/transport/chat_text.h"
#include "serve/transport/json_fields.h"
#include "serve/transport/request_fields.h"

namespace radlads {

// The field `messages`: one or more {"role", "content"}, content a string or a list of {"type": "text", "text"}; an
// assistant's may be missing, and is its `refusal` then. Parts of messages that `path` refuses are refused.
absl::StatusOr<std::vector<ChatMessage>> Messages(const RequestJson& json, RequestPath path);

// `add_generation_prompt`, `continue_final_message`, `chat_template_kwargs` and the variables of templates that clients
// put beside the other fields.
absl::StatusOr<ChatOptions> ChatOptionsOf(const RequestJson& json, std::span<const ChatMessage> messages);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
