// The body of a request to cpp-httplib's server.
#ifndef RADLADS_SERVE_HTTP_READ_BODY_H_
#define RADLADS_SERVE_HTTP_READ_BODY_H_

#include <httplib.h>

#include <optional>
#include <string>

namespace radlads {

// On the thread of a handler of HttpConnections: the whole body of its request, decompressed; or nothing, and in
// `response` the status 413 for more than `limit` bytes, an error for what is not compressed as it says. (The library
// leaves compressed bodies alone, as it would not miss their end.)
std::optional<std::string> ReadBody(const httplib::ContentReader& read, size_t limit, httplib::Response& response);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_READ_BODY_H_
