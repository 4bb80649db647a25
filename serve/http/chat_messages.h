// What the JSON of chat requests shares: the messages, and the fields of no effect. Errors are INVALID_ARGUMENT and
// name the field.
#ifndef RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
#define RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "serve/transport/json_fields.h"

namespace radlads {

// What servers and clients know beyond a text that goes on, and would change it (tools, a template of the request's
// own) must be missing, or have the value that changes nothing.
absl::Status CheckChatFields(const RequestJson& json);

// The field `messages`: one or more {"role", "content"}, content a string or a list of {"type": "text", "text"}.
absl::StatusOr<std::vector<ChatMessage>> Messages(const RequestJson& json);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_CHAT_MESSAGES_H_
