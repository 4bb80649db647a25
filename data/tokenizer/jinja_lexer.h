// Tokens of the template language.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_LEXER_H_
#define RADLADS_DATA_TOKENIZER_JINJA_LEXER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace radlads {

struct JinjaToken {
  enum class Kind {
    kText,         // text outside of tags, white space control applied
    kBlockBegin,   // {%
    kBlockEnd,     // %}
    kOutputBegin,  // {{
    kOutputEnd,    // }}
    kName,
    kInteger,
    kString,  // escapes resolved
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;
  int line = 0;
};

// The tokens of `source`, ended by kEnd. White space control is that of Hugging Face's chat
// templates: trim_blocks, lstrip_blocks, no trailing newline.
absl::StatusOr<std::vector<JinjaToken>> TokenizeJinja(std::string_view source);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_LEXER_H_
