#include "data/tokenizer/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
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

std::vector<std::string_view> CodePoints(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    NextCodePoint(text, &i);
    characters.push_back(text.substr(start, i - start));
  }
  return characters;
}

std::string PythonRepr(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const std::string_view character : CodePoints(text)) {
    size_t i = 0;
    const char32_t c = NextCodePoint(character, &i);
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
  const std::vector<std::string_view> characters = CodePoints(text);
  const auto strips = [&](std::string_view character) {
    return set != nullptr ? set->find(character) != std::string::npos : IsSpace(character);
  };
  size_t first = 0, last = characters.size();
  while (left && first < last && strips(characters[first])) ++first;
  while (right && first < last && strips(characters[last - 1])) --last;
  if (first == last) return "";
  const char* begin = characters[first].data();
  return std::string(begin, characters[last - 1].data() + characters[last - 1].size());
}

std::vector<std::string> PythonSplit(std::string_view text, const std::string* separator, uint64_t most) {
  std::vector<std::string> parts;
  if (separator == nullptr) {
    std::string part;
    for (const std::string_view character : CodePoints(text)) {
      if (!IsSpace(character)) {
        part.append(character);
      } else if (!part.empty()) {
        parts.push_back(std::exchange(part, ""));
      }
    }
    if (!part.empty()) parts.push_back(std::move(part));
    return parts;
  }
  size_t done = 0;
  for (size_t at; parts.size() < most && (at = text.find(*separator, done)) != std::string_view::npos;
       done = at + separator->size()) {
    parts.emplace_back(text.substr(done, at - done));
  }
  parts.emplace_back(text.substr(done));
  return parts;
}

absl::StatusOr<std::string> PythonReplace(std::string_view text, std::string_view from, std::string_view to, uint64_t most,
                                          size_t longest) {
  std::string result;
  size_t done = 0;
  for (uint64_t count = 0; count < most && done <= text.size(); ++count) {
    // Of an empty `from`, the next place is behind the next character.
    size_t at = from.empty() ? done : text.find(from, done);
    if (from.empty() && count > 0) {
      if (done == text.size()) break;
      NextCodePoint(text, &at);
    }
    if (at == std::string_view::npos) break;
    result.append(text.substr(done, at - done)).append(to);
    if (result.size() > longest) return InvalidArgument("a string grows beyond ", longest, " bytes");
    done = at + from.size();
  }
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
