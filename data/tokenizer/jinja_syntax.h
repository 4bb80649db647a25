// Syntax of the template language: text to tree.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_SYNTAX_H_
#define RADLADS_DATA_TOKENIZER_JINJA_SYNTAX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_lexer.h"

namespace radlads {

struct JinjaExpression {
  enum class Kind {
    kString,     // text
    kInteger,    // number
    kFloat,      // real
    kName,       // text; true, false and none included
    kList,       // children; text is "tuple" for a tuple
    kDict,       // children: key, value, key, value ...
    kAttribute,  // children[0] . text
    kIndex,      // children[0] [ children[1] ]
    kSlice,      // children[0] [ children[1] : children[2] : children[3] ]; a child may be null
    kCall,       // children[0] ( children[1] ..., keywords )
    kFilter,     // children[0] | text ( children[1] ..., keywords )
    kTest,       // children[0] is text ( children[1] ... )
    kUnary,      // text ("not", "-", "+") children[0]
    kBinary,     // children[0] text children[1]: or and == != < > <= >= in "not in" + - ~ * / // %
    kCondition,  // children[1] if children[0] else children[2], which may be null
  };
  Kind kind;
  int line = 0;
  std::string text;
  int64_t number = 0;
  double real = 0;
  std::vector<std::unique_ptr<JinjaExpression>> children;
  std::vector<std::pair<std::string, std::unique_ptr<JinjaExpression>>> keywords;
};

struct JinjaStatement {
  enum class Kind {
    kText,    // text
    kOutput,  // expression
    kSet,     // names[0], or names[0].attribute, = expression
    kFor,     // names in expression [if filter]: body, else_body if there was nothing
    kIf,      // expression: body, else else_body (an elif is an kIf there)
  };
  Kind kind;
  int line = 0;
  std::string text;
  std::vector<std::string> names;
  std::string attribute;
  std::unique_ptr<JinjaExpression> expression, filter;
  std::vector<JinjaStatement> body, else_body;
};

// INVALID_ARGUMENT for wrong syntax, UNIMPLEMENTED for a statement that is not in the subset; both
// name the line.
absl::StatusOr<std::vector<JinjaStatement>> ParseJinja(std::string_view source,
                                                       const JinjaWhitespace& whitespace);

// An expression that is a literal of Python, of any length: strings, numbers with a sign, True, False, None, lists, dicts
// and tuples of them.
absl::StatusOr<std::unique_ptr<JinjaExpression>> ParsePythonLiteralSyntax(std::string_view text);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_SYNTAX_H_
