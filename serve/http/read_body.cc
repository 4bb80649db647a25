#include "serve/http/read_body.h"

#include <utility>

#include "serve/http/decompress.h"
#include "serve/http/http_connections.h"
#include "serve/http/http_reply.h"

namespace radlads {

std::optional<std::string> ReadBody(const httplib::ContentReader& read, size_t limit, httplib::Response& response) {
  std::string body;
  bool fits = true;
  const bool well_formed = read([&](const char* data, size_t size) {
    fits = fits && body.size() + size <= limit;
    if (fits) body.append(data, size);
    return fits;
  });
  if (well_formed && fits && HttpConnections::IsCompressed()) {
    auto content = Decompress(body, limit);
    if (content.ok()) return *std::move(content);
    fits = !absl::IsOutOfRange(content.status());
    if (fits) SendError(response, content.status());
  } else if (well_formed && fits) {
    return body;
  }
  if (!fits) {
    response.status = 413;
  } else if (response.status <= 0) {
    response.status = 400;
  }
  return std::nullopt;
}

}  // namespace radlads
