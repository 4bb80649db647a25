// Methods of Python's str and its conversions, for templates. Text is valid UTF-8; positions and lengths are in code points.
#ifndef RADLADS_DATA_TOKENIZER_PYTHON_TEXT_H_
#define RADLADS_DATA_TOKENIZER_PYTHON_TEXT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads {

// How many characters `text` has, and how many bytes its first `count` of them take (all bytes if it has fewer).
size_t CodePointCount(std::string_view text);
size_t BytesOfCodePoints(std::string_view text, size_t count);

// Where `part` first stands in text[from ...], in bytes, or npos. Takes time proportional to text.size() + part.size().
size_t FindText(std::string_view text, std::string_view part, size_t from = 0);

// repr(text): in quotes, with escapes for what str.isprintable does not print. It stops behind `longest` bytes.
std::string PythonRepr(std::string_view text, size_t longest = SIZE_MAX);

// text.strip, or one side of it; of white space without `set`.
std::string PythonStrip(std::string_view text, const std::string* set, bool left, bool right);

// Calls `take` with each part, for as long as it returns true. At most `most` cuts; without a separator, at runs of white
// space.
void PythonSplit(std::string_view text, const std::string* separator, uint64_t most,
                 const std::function<bool(std::string_view)>& take);

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
