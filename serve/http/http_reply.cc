#include "serve/http/http_reply.h"

#include "serve/http/http_error.h"

namespace radlads {

void SendError(httplib::Response& response, const absl::Status& status) {
  response.status = HttpStatus(status);
  if (response.status == 429) response.set_header("Retry-After", "1");
  if (response.status == 503) response.set_header("Retry-After", "5");
  if (response.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(ErrorReply(status), kJsonType);
}

void SendJson(httplib::Response& response, const absl::StatusOr<std::string>& json) {
  if (json.ok()) {
    response.set_content(*json, kJsonType);
  } else {
    SendError(response, json.status());
  }
}

}  // namespace radlads
