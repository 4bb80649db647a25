#include "data/tokenizer/jinja_lexer.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/python_text.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

bool IsSpace(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Every line end as "\n"; one of them dropped from the end unless it is to be kept.
std::string NormalizeNewlines(std::string_view source, bool keep_trailing) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text.push_back(source[i]);
    }
  }
  if (!keep_trailing && !text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  Lexer(std::string_view source, const JinjaWhitespace& whitespace, size_t max_tag_tokens)
      : whitespace_(whitespace),
        max_tag_tokens_(max_tag_tokens),
        source_(NormalizeNewlines(source, whitespace.keep_trailing_newline)) {}

  absl::StatusOr<std::vector<JinjaToken>> Run() {
    while (position_ < source_.size()) RADLADS_RETURN_IF_ERROR(TextAndTag());
    Emit(JinjaToken::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  using Kind = JinjaToken::Kind;

  char At(size_t position) const { return position < source_.size() ? source_[position] : '\0'; }
  bool StartsWith(std::string_view text) const {
    return std::string_view(source_).substr(position_, text.size()) == text;
  }
  void Emit(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  template <typename... Args>
  absl::Status Error(const Args&... args) const {
    return InvalidArgument("line ", line_, ": ", args...);
  }

  void Skip(size_t count) {
    line_ += static_cast<int>(
        std::count(source_.begin() + position_, source_.begin() + position_ + count, '\n'));
    position_ += count;
  }

  // Moves past the end of a tag of `size` characters and the white space that goes with it.
  void EndTag(size_t size, bool strip, bool trim_newline) {
    Skip(size);
    const size_t begin = position_;
    if (strip) {
      size_t end = position_;
      while (IsSpace(At(end))) ++end;
      Skip(end - position_);
    } else if (trim_newline && whitespace_.trim_blocks && At(position_) == '\n') {
      Skip(1);
    }
    line_start_ = position_ > begin && source_[position_ - 1] == '\n';
  }

  absl::Status TextAndTag() {
    size_t tag = position_;
    while ((tag = source_.find('{', tag)) != std::string::npos) {
      const char next = At(tag + 1);
      if (next == '%' || next == '{' || next == '#') break;
      ++tag;
    }
    const size_t end = std::min(tag, source_.size());
    std::string text = source_.substr(position_, end - position_);
    const bool is_output = At(end + 1) == '{';
    const char sign = At(end + 2);
    if (end < source_.size()) {
      if (sign == '-') {
        while (!text.empty() && IsSpace(text.back())) text.pop_back();
      } else if (sign != '+' && !is_output && whitespace_.lstrip_blocks) {
        const size_t newline = text.rfind('\n');
        const size_t line_begin = newline == std::string::npos ? 0 : newline + 1;
        const bool blank = std::all_of(text.begin() + line_begin, text.end(), IsSpace);
        if (blank && (newline != std::string::npos || line_start_)) text.resize(line_begin);
      }
    }
    if (!text.empty()) Emit(Kind::kText, std::move(text));
    Skip(end - position_);
    if (end == source_.size()) return absl::OkStatus();

    const char kind = At(end + 1);
    Skip(2 + (sign == '-' || sign == '+'));
    if (kind == '#') {
      const size_t close = source_.find("#}", position_);
      if (close == std::string::npos) return Error("the comment {# has no end #}");
      const bool strip = close > position_ && source_[close - 1] == '-';
      Skip(close - position_);
      EndTag(2, strip, true);
      return absl::OkStatus();
    }
    return Tag(is_output);
  }

  absl::Status Tag(bool is_output) {
    Emit(is_output ? Kind::kOutputBegin : Kind::kBlockBegin, "");
    const std::string_view close = is_output ? "}}" : "%}";
    const size_t first = tokens_.size();
    int braces = 0;  // open { of dict literals, whose } may touch the end of the tag
    while (true) {
      while (IsSpace(At(position_))) Skip(1);
      if (position_ >= source_.size()) return Error("a tag has no end, expected ", close);
      const bool strip =
          StartsWith("-") && std::string_view(source_).substr(position_ + 1, 2) == close;
      const bool keep = !is_output && StartsWith("+") &&
                        std::string_view(source_).substr(position_ + 1, 2) == close;
      if (braces == 0 && (strip || keep || StartsWith(close))) {
        Emit(is_output ? Kind::kOutputEnd : Kind::kBlockEnd, "");
        EndTag(2 + (strip || keep), strip, !is_output && !keep);
        return absl::OkStatus();
      }
      if (tokens_.size() - first > max_tag_tokens_)
        return Error("a tag has more than ", max_tag_tokens_, " tokens");
      const char c = At(position_);
      if (c == '{') ++braces;
      if (c == '}') --braces;
      if (braces < 0) return Error("unexpected }");
      RADLADS_RETURN_IF_ERROR(Token());
    }
  }

  absl::Status Token() {
    const char c = At(position_);
    size_t end = position_;
    size_t after = position_;  // the code point
    const char32_t code_point = NextCodePoint(source_, &after);
    if (IsIdentifierStart(code_point)) {
      do {
        end = after;
      } while (end < source_.size() && IsIdentifierPart(NextCodePoint(source_, &after)));
      Emit(Kind::kName, source_.substr(position_, end - position_));
    } else if (IsDigit(c)) {
      const auto digits = [&] {
        while (IsDigit(At(end))) ++end;
      };
      digits();
      Kind kind = Kind::kInteger;
      if (At(end) == '.' && IsDigit(At(end + 1))) {
        kind = Kind::kFloat;
        ++end;
        digits();
      }
      const size_t sign = At(end + 1) == '+' || At(end + 1) == '-';
      if ((At(end) == 'e' || At(end) == 'E') && IsDigit(At(end + 1 + sign))) {
        kind = Kind::kFloat;
        end += 1 + sign;
        digits();
      }
      if (kind == Kind::kInteger && end - position_ > 18)
        return Error("the number ", source_.substr(position_, end - position_), " is too large");
      Emit(kind, source_.substr(position_, end - position_));
    } else if (c == '"' || c == '\'') {
      return String(c);
    } else {
      constexpr std::string_view kOperators[] = {"==", "!=", "<=", ">=", "//", "**", "=", "<", ">",
                                                 "+",  "-",  "*",  "/",  "%",  "~",  "|", "(", ")",
                                                 "[",  "]",  "{",  "}",  ".",  ",",  ":"};
      const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                       [this](std::string_view text) { return StartsWith(text); });
      if (found == std::end(kOperators)) {
        return Error("unexpected character ", PythonRepr(std::string_view(source_).substr(position_, after - position_)));
      }
      Emit(Kind::kOperator, std::string(*found));
      end += found->size();
    }
    Skip(end - position_);
    return absl::OkStatus();
  }

  // Escapes as Python's unicode-escape: an unknown one stays as it is.
  absl::Status String(char quote) {
    std::string text;
    size_t i = position_ + 1;
    while (true) {
      if (i >= source_.size()) return Error("a string has no end, expected ", quote);
      const char c = source_[i++];
      if (c == quote) break;
      if (c != '\\' || i >= source_.size()) {
        text.push_back(c);
        continue;
      }
      const char escape = source_[i++];
      const size_t digits = escape == 'x' ? 2 : escape == 'u' ? 4 : escape == 'U' ? 8 : 0;
      constexpr std::string_view kNames = "ntrbfav\\'\"", kValues = "\n\t\r\b\f\a\v\\'\"";
      if (digits > 0) {
        const std::string hex = source_.substr(i, digits);
        if (hex.size() < digits ||
            hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
          return Error("\\", escape, " needs ", digits, " hexadecimal digits, found \"", hex, "\"");
        }
        const unsigned long code_point = std::stoul(hex, nullptr, 16);
        if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
          return Error("\\", escape, hex, " is not a character");
        }
        AppendCodePoint(static_cast<char32_t>(code_point), &text);
        i += digits;
      } else if (escape >= '0' && escape <= '7') {  // up to three octal digits
        char32_t code_point = escape - '0';
        for (int more = 0; more < 2 && i < source_.size() && source_[i] >= '0' && source_[i] <= '7'; ++more) {
          code_point = code_point * 8 + (source_[i++] - '0');
        }
        AppendCodePoint(code_point, &text);
      } else if (kNames.find(escape) != std::string_view::npos) {
        text.push_back(kValues[kNames.find(escape)]);
      } else if (escape == '\n') {
        continue;
      } else {
        text.push_back('\\');
        text.push_back(escape);
      }
    }
    Emit(Kind::kString, std::move(text));
    Skip(i - position_);
    return absl::OkStatus();
  }

  const JinjaWhitespace whitespace_;
  const size_t max_tag_tokens_;
  const std::string source_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_start_ = true;  // what stands before position_ ends a line
  std::vector<JinjaToken> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<JinjaToken>> TokenizeJinja(std::string_view source,
                                                      const JinjaWhitespace& whitespace, size_t max_tag_tokens) {
  if (!IsValidUtf8(source)) return InvalidArgument("line 1: the template is not valid UTF-8");
  return Lexer(source, whitespace, max_tag_tokens).Run();
}

}  // namespace radlads
