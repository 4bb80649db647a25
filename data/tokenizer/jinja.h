// The part of Jinja that chat templates and evaluation tasks use.
//
// Statements: if/elif/else, for (with loop, several names, filter and else), set, generation.
// Expressions: names, strings, integers, floats, lists, dicts, tuples in parentheses, attributes, indices, slices,
//   or/and/not, in, == != < > <= >=, + - * / // %, ~, a if b else c.
// Filters: trim length count upper lower capitalize first last join default string list map replace int tojson items safe.
// Tests: defined undefined none string mapping sequence iterable number integer float boolean true false callable in
//   equalto eq. Functions: raise_exception(message), strftime_now(format), namespace(name=value ...),
//   dict(name=value ...), range(n). Methods of strings: strip lstrip rstrip startswith endswith upper lower capitalize
//   split replace find index count join; of lists: index count; of dicts: get items keys values.
// Anything else is UNIMPLEMENTED and named, with its line.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_H_
#define RADLADS_DATA_TOKENIZER_JINJA_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "data/tokenizer/jinja_budget.h"
#include "data/tokenizer/jinja_syntax.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

struct JinjaOptions {
  JinjaWhitespace whitespace;
  bool strict_undefined = false;  // an undefined value is an error wherever it is used (StrictUndefined)
  // What transformers adds to Jinja for chat templates: raise_exception, strftime_now, its own tojson.
  bool chat = true;
  std::optional<absl::Time> now;  // of strftime_now; default: the clock's
};

class JinjaTemplate {
 public:
  // By default as transformers renders chat templates.
  static absl::StatusOr<JinjaTemplate> Parse(std::string_view source,
                                             const JinjaOptions& options = {});

  // `variables` are the names that the template sees. INVALID_ARGUMENT where the template calls
  // raise_exception or does what Jinja refuses too (an attribute of an undefined value), or where the rendering takes more
  // than kMaxJinjaSteps steps (10 million) or makes more than kMaxJinjaBytes bytes of values and output (256 MiB, what is
  // dropped again included; jinja_budget.h says what counts). The process's memory grows by at most about three times that
  // for the time of a rendering: a string that grows is copied, and values have some overhead. `variables` are not counted.
  absl::StatusOr<std::string> Render(const JinjaValue::Dict& variables) const;

 private:
  JinjaTemplate(std::vector<JinjaStatement> statements, const JinjaOptions& options)
      : statements_(std::move(statements)), options_(options) {}
  std::vector<JinjaStatement> statements_;
  JinjaOptions options_;
};

// ast.literal_eval of Python: numbers, strings, lists, tuples, dicts, True, False and None. INVALID_ARGUMENT for what is no
// literal, or is nested more than 200 deep, or takes more than a rendering may.
absl::StatusOr<JinjaValue> ParsePythonLiteral(const std::string& text);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_H_
