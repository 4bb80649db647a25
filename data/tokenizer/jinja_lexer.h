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
    kFloat,
    kString,  // escapes resolved
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;
  int line = 0;
};

// White space control, by Jinja's own names; as transformers sets it for chat templates.
struct JinjaWhitespace {
  bool trim_blocks = true;             // the line end after a block tag is dropped
  bool lstrip_blocks = true;           // and the blanks before one, from the start of its line
  bool keep_trailing_newline = false;  // at the end of the template
};

// The tokens of `source`, which must be valid UTF-8, ended by kEnd. The number of tokens in a tag bounds how deep its
// expression tree can be.
absl::StatusOr<std::vector<JinjaToken>> TokenizeJinja(std::string_view source, const JinjaWhitespace& whitespace,
                                                      size_t max_tag_tokens = 2000);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_LEXER_H_
