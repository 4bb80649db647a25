// The words by which clients of OpenAI's API tell errors apart: the field `code` of an error.
#ifndef RADLADS_SERVE_ERROR_CODE_H_
#define RADLADS_SERVE_ERROR_CODE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace radlads {

inline constexpr char kModelNotFound[] = "model_not_found", kInvalidApiKey[] = "invalid_api_key",
                      kContextLengthExceeded[] = "context_length_exceeded",
                      kInsufficientStorage[] = "insufficient_storage";

// `status`, which is not OK, with a code.
absl::Status WithErrorCode(absl::Status status, std::string_view code);
// The code of a status; empty where it has none.
std::string ErrorCodeOf(const absl::Status& status);

// RESOURCE_EXHAUSTED as nothing more can be kept: on the disk of the sessions, or within their limits. Asking again does
// not help: 507 over HTTP, where a queue that is full is 429.
absl::Status NoRoom(const std::string& message);
bool IsNoRoom(const absl::Status& status);

}  // namespace radlads

#endif  // RADLADS_SERVE_ERROR_CODE_H_
