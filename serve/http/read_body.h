// The body of a request to cpp-httplib's server.
#ifndef RADLADS_SERVE_HTTP_READ_BODY_H_
#define RADLADS_SERVE_HTTP_READ_BODY_H_

#include <httplib.h>

#include <functional>
#include <string>

#include "serve/transport/request_work.h"

namespace radlads {

// On the thread of a handler of HttpConnections: reads the whole body of its request, decompresses it and gives it to
// `use`, as RequestWork runs what is as large as this request may become -> whether `use` was called. If not, `response`
// says why: the status 413 for more than `limit` bytes, an error for what is not compressed as it says, 503 where there
// is no room for it now.
bool UseBody(const httplib::ContentReader& read, size_t limit, RequestWork& work, httplib::Response& response,
             const std::function<void(std::string body)>& use);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_READ_BODY_H_
