#include "eval/tasks/python_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

std::string_view WithoutTrailingSpace(std::string_view text) {
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    size_t position = last;
    if (!IsPythonSpace(NextCodePoint(text, &position))) break;
    text = text.substr(0, last);
  }
  return text;
}

int64_t SpaceSeparatedParts(std::string_view text) {
  int64_t parts = 1;
  bool in_space = false;
  for (size_t i = 0; i < text.size();) {
    const bool space = IsPythonSpace(NextCodePoint(text, &i));
    parts += space && !in_space;
    in_space = space;
  }
  return parts;
}

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string Lowercase(std::string_view text) {
  std::string lower;
  for (size_t i = 0; i < text.size();) {
    const auto code_point = static_cast<utf8proc_int32_t>(NextCodePoint(text, &i));
    AppendCodePoint(static_cast<char32_t>(utf8proc_tolower(code_point)), &lower);
  }
  return lower;
}

}  // namespace radlads
