#include "serve/http/http_error.h"

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
      return 429;
    case absl::StatusCode::kCancelled:
      return kClientLeft;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string ErrorReply(const absl::Status& status) {
  return ErrorReply(HttpStatus(status), std::string(status.message()));
}

std::string ErrorReply(int http_status, const std::string& message) {
  const char* type = http_status == 401   ? "authentication_error"
                     : http_status == 429 ? "rate_limit_error"
                     : http_status < 500  ? "invalid_request_error"
                                          : "server_error";
  return Dump({{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", http_status}}}});
}

}  // namespace radlads
