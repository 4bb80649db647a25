// The body of a request to cpp-httplib's server.
#ifndef RADLADS_SERVE_HTTP_READ_BODY_H_
#define RADLADS_SERVE_HTTP_READ_BODY_H_

#include <httplib.h>

#include <optional>
#include <string>

namespace radlads {

// The whole body, decompressed, or nothing and the status of `response`: 413 for more than `limit` bytes, 400 for what
// is not well-formed. (The library's own limit sees only the length that a client names, not what a compressed body
// grows to.)
std::optional<std::string> ReadBody(const httplib::ContentReader& read, size_t limit, httplib::Response& response);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_READ_BODY_H_
