// JSON from outside, with bounds on depth and number of values that hold while a text is parsed.
//
// A text is RFC 8259 JSON in UTF-8: one value, with an optional byte order mark before it. A NUL, an invalid UTF-8
// sequence, half of a surrogate pair and text after the value are errors. Every error is INVALID_ARGUMENT and says
// what is wrong at which byte (counted from 0), in printable text: no message repeats control characters or invalid
// UTF-8 of its input.
//
// Parsing a text of n bytes takes less than JsonSize::memory() bytes, which is at most 112 * max_values + 2 * n.
#ifndef RADLADS_BASE_JSON_H_
#define RADLADS_BASE_JSON_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads {

struct JsonOptions {
  std::string where = "";  // begins every message, with a colon behind it: the path of a file, say
  int max_depth = 64;              // lists and objects within each other
  int64_t max_values = 4'000'000;  // lists, objects, scalars and keys of objects
  bool python_numbers = false;     // NaN, Infinity, -Infinity and 1e999 are read, as Python's json module reads them
  bool unique_keys = false;        // an object with the same key twice is an error; otherwise the last value counts
};

struct JsonSize {
  int depth = 0;
  int64_t values = 0;        // lists, objects, scalars and keys of objects
  int64_t string_bytes = 0;  // of strings and keys
  // An upper bound of the bytes of memory that the parsed value takes.
  int64_t memory() const { return 112 * values + 2 * string_bytes; }
};

// Reads the text within the bounds of `options` without building anything.
absl::StatusOr<JsonSize> MeasureJson(std::string_view text, const JsonOptions& options = {});

// Objects whose keys are found in logarithmic time and are sorted. Integers that fit neither int64_t nor uint64_t
// become doubles.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const JsonOptions& options = {});
// Objects whose keys are in the order of the text; finding one takes linear time. (A repeated key keeps its first
// position, as in Python.)
absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text, const JsonOptions& options = {});

// Whether `text` is valid UTF-8 (no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

// `text` in double quotes for a message of one line: at most `longest` bytes, then "...". Control characters, quotes,
// backslashes and bytes that are not UTF-8 are escaped.
std::string Quoted(std::string_view text, size_t longest = 64);

}  // namespace radlads

#endif  // RADLADS_BASE_JSON_H_
