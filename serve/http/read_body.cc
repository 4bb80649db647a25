#include "serve/http/read_body.h"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "base/status.h"
#include "serve/http/decompress.h"
#include "serve/http/http_connections.h"
#include "serve/http/http_reply.h"

namespace radlads {
namespace {

constexpr size_t kMaxInflation = 1032;  // of deflate: 258 bytes for 2 bits

// The whole body, decompressed, or nothing and an error in `response`. (The library leaves compressed bodies alone, as
// it would not miss their end.)
std::optional<std::string> ReadBody(const httplib::ContentReader& read, bool compressed, size_t limit,
                                    httplib::Response& response) {
  std::string body;
  bool fits = true;
  const bool well_formed = read([&](const char* data, size_t size) {
    fits = fits && body.size() + size <= limit;
    if (fits) body.append(data, size);
    return fits;
  });
  if (well_formed && fits && compressed) {
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

}  // namespace

bool UseBody(const httplib::ContentReader& read, size_t limit, RequestWork& work, httplib::Response& response,
             const std::function<void(std::string body)>& use) {
  const bool compressed = HttpConnections::IsCompressed();
  size_t most = std::min(HttpConnections::RequestBytes(), limit);
  if (compressed) most = std::min(kMaxInflation * most, limit);
  bool used = false;
  absl::Status status;
  try {
    status = work.Run(most, [&] {
      std::optional<std::string> body = ReadBody(read, compressed, limit, response);
      used = body.has_value();
      if (used) use(*std::move(body));
    });
  } catch (const std::bad_alloc&) {
    used = false;
    status = absl::UnavailableError("the server has no memory for this request now; try again later");
  }
  if (!status.ok()) SendError(response, status);
  return used;
}

}  // namespace radlads
