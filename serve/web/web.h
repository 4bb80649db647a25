// The page of the server: plain files that are compiled in.
#ifndef RADLADS_SERVE_WEB_WEB_H_
#define RADLADS_SERVE_WEB_WEB_H_

#include <span>
#include <string_view>

namespace radlads {

struct WebFile {
  std::string_view path;  // "/style.css"
  std::string_view type;
  std::string_view content;
};

std::span<const WebFile> WebFiles();

}  // namespace radlads

#endif  // RADLADS_SERVE_WEB_WEB_H_
