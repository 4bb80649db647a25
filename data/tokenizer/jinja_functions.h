// Filters, tests and methods of the template language.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_FUNCTIONS_H_
#define RADLADS_DATA_TOKENIZER_JINJA_FUNCTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

using JinjaArguments = std::vector<JinjaValue>;
using JinjaKeywords = JinjaValue::Dict;  // arguments by name

// All charge *budget for what they do before they do it, and return its error where it is spent.

// `value | name(arguments)`. UNIMPLEMENTED if there is no such filter.
absl::StatusOr<JinjaValue> ApplyJinjaFilter(const std::string& name, const JinjaValue& value,
                                            const JinjaArguments& arguments, const JinjaKeywords& keywords,
                                            JinjaBudget* budget);
// `value is name(arguments)`.
absl::StatusOr<bool> ApplyJinjaTest(const std::string& name, const JinjaValue& value,
                                    const JinjaArguments& arguments, JinjaBudget* budget);
// `value.name(arguments)`.
absl::StatusOr<JinjaValue> CallJinjaMethod(const std::string& name, const JinjaValue& value,
                                           const JinjaArguments& arguments, JinjaBudget* budget);

// value[key]. Undefined where there is none; INVALID_ARGUMENT for a member of an undefined value.
absl::StatusOr<JinjaValue> JinjaMember(const JinjaValue& value, const JinjaValue& key, JinjaBudget* budget);
// value.name, which is value["name"] where Python's type has no attribute of that name. UNIMPLEMENTED where it has.
absl::StatusOr<JinjaValue> JinjaAttribute(const JinjaValue& value, const std::string& name, JinjaBudget* budget);

// left operation right: == != < > <= >= in "not in" + - * / // % ~.
absl::StatusOr<JinjaValue> JinjaOperation(const std::string& operation, const JinjaValue& left, const JinjaValue& right,
                                          JinjaBudget* budget);

// What `for` runs over: a list, the keys of a dict, the characters of a string, nothing for
// undefined.
absl::StatusOr<JinjaValue::List> JinjaItems(const JinjaValue& value, JinjaBudget* budget);

// value[start:stop:step] of Python, for lists and strings. Bounds: an int or None.
absl::StatusOr<JinjaValue> SliceJinja(const JinjaValue& value, const JinjaValue& start,
                                      const JinjaValue& stop, const JinjaValue& step, JinjaBudget* budget);

// Charges a list of so many items, or some more items of one; what the items point to is charged where it is made.
inline bool ChargeJinjaItems(size_t count, JinjaBudget* budget) {
  return budget->Steps(count / 16 + 1) && budget->Bytes(count * sizeof(JinjaValue));
}

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_FUNCTIONS_H_
