// Methods of Python's str and its conversions, for templates. Text is valid UTF-8; positions and lengths are in code points.
#ifndef RADLADS_DATA_TOKENIZER_PYTHON_TEXT_H_
#define RADLADS_DATA_TOKENIZER_PYTHON_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace radlads {

std::vector<std::string_view> CodePoints(std::string_view text);

// repr(text): in quotes, with escapes for what str.isprintable does not print.
std::string PythonRepr(std::string_view text);

// text.strip, or one side of it; of white space without `set`.
std::string PythonStrip(std::string_view text, const std::string* set, bool left, bool right);

// At most `most` cuts; without a separator, at runs of white space.
std::vector<std::string> PythonSplit(std::string_view text, const std::string* separator, uint64_t most);

// At most `most` replacements. An empty `from` stands before every character and at the end. INVALID_ARGUMENT where
// the result is longer than `longest` bytes.
absl::StatusOr<std::string> PythonReplace(std::string_view text, std::string_view from, std::string_view to, uint64_t most,
                                          size_t longest);

// UNIMPLEMENTED for characters whose other case is longer than they are, or depends on what stands around them.
absl::StatusOr<std::string> PythonUpper(std::string_view text);
absl::StatusOr<std::string> PythonLower(std::string_view text);
absl::StatusOr<std::string> PythonCapitalize(std::string_view text);

// int(text) and float(text); nothing where Python raises ValueError, or for an int beyond 64 bits. Digits are those of ASCII;
// Python knows those of HasForeignDigits too.
std::optional<int64_t> PythonInt(std::string_view text);
std::optional<double> PythonFloat(std::string_view text);

bool HasForeignDigits(std::string_view text);

// Whether a name of Python begins or goes on with `code_point`.
bool IsIdentifierStart(char32_t code_point);
bool IsIdentifierPart(char32_t code_point);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_PYTHON_TEXT_H_
