#include "serve/http/path_methods.h"

#include "base/status.h"
#include "serve/http/http_error.h"

namespace radlads {

void PathMethods::Add(const std::string& pattern, const std::string& method) {
  methods_.emplace_back(pattern, method);
  if (method == "GET") methods_.emplace_back(pattern, "HEAD");
}

bool PathMethods::Check(const httplib::Request& request, httplib::Response& response) const {
  std::string allowed;
  for (const auto& [pattern, method] : methods_) {
    if (!std::regex_match(request.path, pattern)) continue;
    if (method == request.method) return true;
    allowed += (allowed.empty() ? "" : ", ") + method;
  }
  const std::string asked = Concatenate(request.method, " ", request.path, ": ");
  if (allowed.empty()) {
    response.status = 404;
    response.set_content(ErrorReply(404, Concatenate(asked, "there is nothing here; ", where_to_look_), "unknown_url"),
                         kJsonType);
  } else {
    response.status = 405;
    response.set_header("Allow", allowed);
    response.set_content(ErrorReply(405, Concatenate(asked, "this path has ", allowed)), kJsonType);
  }
  return false;
}

}  // namespace radlads
