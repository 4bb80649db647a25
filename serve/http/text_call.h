// The bodies of /v1/completions and /v1/chat/completions: docs/formats/http_api.md.
#ifndef RADLADS_SERVE_HTTP_TEXT_CALL_H_
#define RADLADS_SERVE_HTTP_TEXT_CALL_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "serve/text_service.h"
#include "serve/transport/json_fields.h"
#include "serve/transport/served_model.h"

namespace radlads {

// A text that a client asks for, and how it wants the reply.
struct TextCall {
  TextRequest text;
  bool chat = false;           // /v1/chat/completions
  bool stream = false;         // as server-sent events
  bool include_usage = false;  // the counts of tokens are the last event
};

// INVALID_ARGUMENT says which field is wrong, and what it can be: bad types, what is not supported, messages that the
// template refuses, no prompt, ids outside of the vocabulary; NOT_FOUND for a session that a chat goes on from. Fields
// that are not known are ignored. `max_tokens`: of a reply whose request does not say.
absl::StatusOr<TextCall> ParseChatCall(const RequestJson& json, const ServedModel& model, int64_t max_tokens);
absl::StatusOr<TextCall> ParseCompletionCall(const RequestJson& json, const ServedModel& model, int64_t max_tokens);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TEXT_CALL_H_
