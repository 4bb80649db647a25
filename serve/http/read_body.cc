#include "serve/http/read_body.h"

namespace radlads {

std::optional<std::string> ReadBody(const httplib::ContentReader& read, size_t limit, httplib::Response& response) {
  std::string body;
  bool fits = true;
  const bool well_formed = read([&](const char* data, size_t size) {
    fits = fits && body.size() + size <= limit;
    if (fits) body.append(data, size);
    return fits;
  });
  if (well_formed && fits) return body;
  if (!fits) {
    response.status = 413;
  } else if (response.status <= 0) {
    response.status = 400;
  }
  return std::nullopt;
}

}  // namespace radlads
