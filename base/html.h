// Text in pages of HTML.
#ifndef RADLADS_BASE_HTML_H_
#define RADLADS_BASE_HTML_H_

#include <string>
#include <string_view>

namespace radlads {

// & < > " as entities: for text and for attributes in double quotes.
std::string EscapeHtml(std::string_view text);

}  // namespace radlads

#endif  // RADLADS_BASE_HTML_H_
