// Errors as HTTP and OpenAI's JSON.
#ifndef RADLADS_SERVE_HTTP_HTTP_ERROR_H_
#define RADLADS_SERVE_HTTP_HTTP_ERROR_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace radlads {

inline constexpr char kJsonType[] = "application/json";
inline constexpr int kClientLeft = 499;  // nobody reads it; for logs and metrics

// 400 INVALID_ARGUMENT, OUT_OF_RANGE; 401 UNAUTHENTICATED; 403 PERMISSION_DENIED; 404 NOT_FOUND; 409 ALREADY_EXISTS,
// FAILED_PRECONDITION, ABORTED; 429 RESOURCE_EXHAUSTED, or 507 where it is NoRoom (error_code.h); 499 CANCELLED; 503
// UNAVAILABLE; else 500.
int HttpStatus(const absl::Status& status);
// {"error": {"message", "type", "param", "code"}} with the message and the code (error_code.h) of `status`. Types and
// codes are OpenAI's.
std::string ErrorReply(const absl::Status& status);
// The same for an error that HTTP knows and absl does not, as 413. Without a code it is that of the HTTP status, or
// null.
std::string ErrorReply(int http_status, const std::string& message, std::string_view code = "");

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_HTTP_ERROR_H_
