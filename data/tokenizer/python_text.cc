#include "data/tokenizer/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsSpace(std::string_view character) {
  size_t i = 0;
  return IsPythonSpace(NextCodePoint(character, &i));
}

// The other half of what a code point's case is made of: one code point each, or an error.
absl::Status AppendCase(char32_t code_point, bool upper, std::string* out) {
  // Whose upper or title case is more than one code point (Unicode 14).
  constexpr std::pair<char32_t, char32_t> kLong[] = {
      {0xDF, 0xDF},     {0x149, 0x149},   {0x1F0, 0x1F0},   {0x390, 0x390},   {0x3B0, 0x3B0},   {0x587, 0x587},
      {0x1E96, 0x1E9A}, {0x1F50, 0x1F50}, {0x1F52, 0x1F52}, {0x1F54, 0x1F54}, {0x1F56, 0x1F56}, {0x1F80, 0x1FAF},
      {0x1FB2, 0x1FB4}, {0x1FB6, 0x1FB7}, {0x1FBC, 0x1FBC}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FC7}, {0x1FCC, 0x1FCC},
      {0x1FD2, 0x1FD3}, {0x1FD6, 0x1FD7}, {0x1FE2, 0x1FE4}, {0x1FE6, 0x1FE7}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FF7},
      {0x1FFC, 0x1FFC}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17}};
  const bool special =
      upper ? std::any_of(std::begin(kLong), std::end(kLong),
                          [&](const auto& range) { return code_point >= range.first && code_point <= range.second; })
            : code_point == 0x130 || code_point == 0x3A3;
  if (special) {
    std::string character;
    AppendCodePoint(code_point, &character);
    return Unimplemented(upper ? "the upper case of " : "the lower case of ", character,
                         " is outside the supported subset");
  }
  const auto c = static_cast<utf8proc_int32_t>(code_point);
  AppendCodePoint(static_cast<char32_t>(upper ? utf8proc_toupper(c) : utf8proc_tolower(c)), out);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChangeCase(std::string_view text, bool upper) {
  std::string result;
  for (size_t i = 0; i < text.size();) RADLADS_RETURN_IF_ERROR(AppendCase(NextCodePoint(text, &i), upper, &result));
  return result;
}

bool IsPrintable(char32_t code_point) {
  if (code_point == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

// Without white space around it, a leading + and the underscores between digits; nothing where an underscore stands
// elsewhere.
std::optional<std::string> Digits(std::string_view text) {
  std::string plain = PythonStrip(text, nullptr, true, true);
  for (size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] != '_') continue;
    if (i == 0 || i + 1 == plain.size() || !IsDigit(plain[i - 1]) || !IsDigit(plain[i + 1])) return std::nullopt;
  }
  std::erase(plain, '_');
  if (plain.starts_with('+')) {
    plain.erase(0, 1);
    if (plain.starts_with('-')) return std::nullopt;
  }
  return plain;
}

}  // namespace

size_t CodePointCount(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t BytesOfCodePoints(std::string_view text, size_t count) {
  size_t i = 0;
  for (; count > 0 && i < text.size(); --count) NextCodePoint(text, &i);
  return i;
}

size_t FindText(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

std::string PythonRepr(std::string_view text, size_t longest) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size() && out.size() <= longest;) {
    const size_t start = i;
    const char32_t c = NextCodePoint(text, &i);
    const std::string_view character = text.substr(start, i - start);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.append("\\").append(character);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out.append(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (IsPrintable(c)) {
      out.append(character);
    } else {
      char escape[16];
      const char* const format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
      std::snprintf(escape, sizeof(escape), format, static_cast<unsigned>(c));
      out.append(escape);
    }
  }
  out.push_back(quote);
  return out;
}

std::string PythonStrip(std::string_view text, const std::string* set, bool left, bool right) {
  const auto strips = [&](std::string_view character) {
    return set != nullptr ? set->find(character) != std::string::npos : IsSpace(character);
  };
  while (left && !text.empty()) {
    const size_t size = BytesOfCodePoints(text, 1);
    if (!strips(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
    if (!strips(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return std::string(text);
}

void PythonSplit(std::string_view text, const std::string* separator, uint64_t most,
                 const std::function<bool(std::string_view)>& take) {
  size_t done = 0;
  if (separator == nullptr) {
    for (size_t i = 0; i < text.size();) {
      const size_t start = i;
      if (!IsPythonSpace(NextCodePoint(text, &i))) continue;
      if (start > done && !take(text.substr(done, start - done))) return;
      done = i;
    }
    if (done < text.size()) take(text.substr(done));
    return;
  }
  for (size_t at; most > 0 && (at = FindText(text, *separator, done)) != std::string_view::npos;
       done = at + separator->size(), --most) {
    if (!take(text.substr(done, at - done))) return;
  }
  take(text.substr(done));
}

absl::StatusOr<std::string> PythonReplace(std::string_view text, std::string_view from, std::string_view to, uint64_t most,
                                          size_t longest) {
  std::string result;
  size_t done = 0;
  for (uint64_t count = 0; count < most && done <= text.size(); ++count) {
    // An empty `from` is found at the beginning and behind every character.
    size_t at = from.empty() ? done : FindText(text, from, done);
    if (from.empty() && count > 0) {
      if (done == text.size()) break;
      NextCodePoint(text, &at);
    }
    if (at == std::string_view::npos) break;
    if (at - done + to.size() > longest - result.size()) return InvalidArgument("a string grows beyond ", longest, " bytes");
    result.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  if (text.size() - done > longest - result.size()) return InvalidArgument("a string grows beyond ", longest, " bytes");
  return result.append(text.substr(done));
}

absl::StatusOr<std::string> PythonUpper(std::string_view text) { return ChangeCase(text, true); }
absl::StatusOr<std::string> PythonLower(std::string_view text) { return ChangeCase(text, false); }

absl::StatusOr<std::string> PythonCapitalize(std::string_view text) {
  if (text.empty()) return std::string();
  size_t first = 0;
  const char32_t c = NextCodePoint(text, &first);
  std::string title;
  RADLADS_RETURN_IF_ERROR(AppendCase(c, true, &title));
  title.clear();
  AppendCodePoint(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), &title);
  RADLADS_ASSIGN_OR_RETURN(const std::string rest, PythonLower(text.substr(first)));
  return title + rest;
}

std::optional<int64_t> PythonInt(std::string_view text) {
  const auto digits = Digits(text);
  if (!digits) return std::nullopt;
  int64_t value;
  const auto end = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  return end.ec == std::errc() && end.ptr == digits->data() + digits->size() ? std::optional(value) : std::nullopt;
}

std::optional<double> PythonFloat(std::string_view text) {
  const auto digits = Digits(text);
  // from_chars knows "nan(...)" too, which Python does not.
  if (!digits || digits->find('(') != std::string::npos) return std::nullopt;
  double value;
  const auto end = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  if (end.ptr != digits->data() + digits->size() || digits->empty()) return std::nullopt;
  // Too large or too small: strtod gives infinity or the nearest there is, as Python does.
  if (end.ec == std::errc::result_out_of_range) return std::strtod(digits->c_str(), nullptr);
  return end.ec == std::errc() ? std::optional(value) : std::nullopt;
}

bool HasForeignDigits(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const char32_t c = NextCodePoint(text, &i);
    if (c >= 0x80 && utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND) return true;
  }
  return false;
}

bool IsIdentifierStart(char32_t code_point) {
  if (code_point == '_') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
      return true;
    default:
      return false;
  }
}

bool IsIdentifierPart(char32_t code_point) {
  if (IsIdentifierStart(code_point)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace radlads
