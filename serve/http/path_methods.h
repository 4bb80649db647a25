// Which methods each path has: what is neither is refused before a body is read.
#ifndef RADLADS_SERVE_HTTP_PATH_METHODS_H_
#define RADLADS_SERVE_HTTP_PATH_METHODS_H_

#include <httplib.h>

#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace radlads {

class PathMethods {
 public:
  // `where_to_look`: of the message for paths that are nowhere.
  explicit PathMethods(std::string where_to_look) : where_to_look_(std::move(where_to_look)) {}

  // `pattern` is that of a handler of the library, for the whole path. GET brings HEAD.
  void Add(const std::string& pattern, const std::string& method);
  // Whether there is a handler; else `response` is 404, or 405 with the header Allow. Thread-safe.
  bool Check(const httplib::Request& request, httplib::Response& response) const;

 private:
  const std::string where_to_look_;
  std::vector<std::pair<std::regex, std::string>> methods_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_PATH_METHODS_H_
