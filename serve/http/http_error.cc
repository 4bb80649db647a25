#include "serve/http/http_error.h"

#include "serve/error_code.h"
#include "serve/transport/json_fields.h"

namespace radlads {

int HttpStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return IsNoRoom(status) ? 507 : 429;
    case absl::StatusCode::kCancelled:
      return kClientLeft;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string ErrorReply(const absl::Status& status) {
  return ErrorReply(HttpStatus(status), std::string(status.message()), ErrorCodeOf(status));
}

std::string ErrorReply(int http_status, const std::string& message, std::string_view code) {
  if (code.empty() && http_status == 405) code = "method_not_supported";
  if (code.empty() && http_status == 429) code = "rate_limit_exceeded";
  const char* type = http_status == 429 ? "requests" : http_status < 500 ? "invalid_request_error" : "server_error";
  return Dump({{"error",
                {{"message", message},
                 {"type", type},
                 {"param", nullptr},
                 {"code", code.empty() ? ReplyJson() : ReplyJson(code)}}}});
}

}  // namespace radlads
