// The calls of /v1/sessions: docs/formats/http_api.md. Errors are those of TextService, and INVALID_ARGUMENT for a body
// or parameter that is not as it should be. Replies are JSON where nothing else is said.
#ifndef RADLADS_SERVE_HTTP_SESSION_CALLS_H_
#define RADLADS_SERVE_HTTP_SESSION_CALLS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "serve/transport/json_fields.h"
#include "serve/transport/served_model.h"

namespace radlads {

// {"id", "ttl_seconds"}, both optional -> the session.
absl::StatusOr<std::string> CreateSessionCall(const ServedModel& model, const RequestJson& json);
// -> {"data": [...], "has_more"}: those after `after`, at most `limit`.
absl::StatusOr<std::string> ListSessionsCall(const ServedModel& model, const std::string& after, int64_t limit);
// -> the session with "first", "text" from there on, at most about `limit` tokens, the "messages" in it, and
// "snapshots". Without `first`, the end of the text.
absl::StatusOr<std::string> GetSessionCall(const ServedModel& model, const std::string& id,
                                           std::optional<int64_t> first, int64_t limit);
absl::StatusOr<std::string> DeleteSessionCall(const ServedModel& model, const std::string& id);
// {"snapshot", "id"}, both optional -> the new session.
absl::StatusOr<std::string> ForkSessionCall(const ServedModel& model, const std::string& id, const RequestJson& json);
// {"snapshot"} -> the session.
absl::StatusOr<std::string> RewindSessionCall(const ServedModel& model, const std::string& id, const RequestJson& json);
// The body is the blob; `id` may be empty -> the session.
absl::StatusOr<std::string> ImportSessionCall(const ServedModel& model, std::string_view blob, const std::string& id);

// The model as /v1/models shows it.
ReplyJson ModelJson(const ServedModel& model, int64_t created);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_SESSION_CALLS_H_
