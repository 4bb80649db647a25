// The part of Jinja that chat templates and evaluation tasks use.
//
// Statements: if/elif/else, for (with loop, several names, filter and else), set, generation.
// Expressions: names, strings, integers, lists, dicts, attributes, indices, slices, or/and/not, in,
// == != < > <= >=,
//   + - * // %, ~, a if b else c.
// Filters: trim length count upper lower first last join default string list tojson items safe.
// Tests: defined undefined none string mapping sequence iterable number integer boolean true false
// equalto eq. Functions: raise_exception(message), namespace(name=value ...), range(n). Methods of
// strings: strip lstrip rstrip startswith endswith upper lower split replace;
//   of dicts: get items keys values.
// Anything else is UNIMPLEMENTED and named, with its line.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_H_
#define RADLADS_DATA_TOKENIZER_JINJA_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_syntax.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

struct JinjaOptions {
  JinjaWhitespace whitespace;
  bool strict_undefined = false;  // an undefined value is an error wherever it is used (StrictUndefined)
};

class JinjaTemplate {
 public:
  // By default as transformers renders chat templates.
  static absl::StatusOr<JinjaTemplate> Parse(std::string_view source,
                                             const JinjaOptions& options = {});

  // `variables` are the names that the template sees. INVALID_ARGUMENT where the template calls
  // raise_exception or does what Jinja refuses too (an attribute of an undefined value). Output is
  // limited to 64 MiB.
  absl::StatusOr<std::string> Render(const JinjaValue::Dict& variables) const;

  // The value of a template that is one {{ expression }} and nothing else; of any other, its text.
  absl::StatusOr<JinjaValue> Evaluate(const JinjaValue::Dict& variables) const;

 private:
  JinjaTemplate(std::vector<JinjaStatement> statements, bool strict_undefined)
      : statements_(std::move(statements)), strict_undefined_(strict_undefined) {}
  std::vector<JinjaStatement> statements_;
  bool strict_undefined_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_H_
