// Replies on cpp-httplib's responses.
#ifndef RADLADS_SERVE_HTTP_HTTP_REPLY_H_
#define RADLADS_SERVE_HTTP_HTTP_REPLY_H_

#include <httplib.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// With the headers that go with the status: when to try again, how to show who one is.
void SendError(httplib::Response& response, const absl::Status& status);
// JSON, or the error.
void SendJson(httplib::Response& response, const absl::StatusOr<std::string>& json);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_HTTP_REPLY_H_
