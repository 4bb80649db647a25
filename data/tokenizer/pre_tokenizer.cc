#include "data/tokenizer/pre_tokenizer.h"

#include "base/status.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

constexpr std::string_view kGpt2Regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// A position in the text with the class of the code point there. Where the text ends, or a character of `stop` stands,
// the class is 0 and AtEnd() holds.
class Cursor {
 public:
  Cursor(std::string_view text, size_t position, uint8_t stop = 0)
      : text_(text), classes_(CharacterClasses()), stop_(stop) {
    MoveTo(position);
  }
  void MoveTo(size_t position) {
    position_ = next_ = position;
    class_ = position < text_.size() ? classes_[NextCodePoint(text_, &next_)] : 0;
    at_end_ = position >= text_.size() || (class_ & stop_);
    if (at_end_) class_ = 0;
  }
  void Advance() { MoveTo(next_); }
  size_t position() const { return position_; }
  bool AtEnd() const { return at_end_; }
  bool Is(uint8_t classes) const { return class_ & classes; }
  // [^\s\p{L}\p{N}]
  bool IsOther() const { return !AtEnd() && !Is(kLetter | kNumber | kSpace); }
  bool IsLineEnd() const { return !AtEnd() && (text_[position_] == '\r' || text_[position_] == '\n'); }

 private:
  std::string_view text_;
  const uint8_t* classes_;
  uint8_t stop_;
  size_t position_ = 0, next_ = 0;
  uint8_t class_ = 0;
  bool at_end_ = false;
};

size_t RunEnd(Cursor cursor, uint8_t classes) {
  while (cursor.Is(classes)) cursor.Advance();
  return cursor.position();
}

// \s+(?!\S)|\s+, preceded by \s*[\r\n]+ where `line_ends`.
size_t SpaceEnd(Cursor cursor, bool line_ends) {
  const size_t start = cursor.position();
  size_t last = start, after_line_end = start;
  while (cursor.Is(kSpace)) {
    const bool line_end = cursor.IsLineEnd();
    last = cursor.position();
    cursor.Advance();
    if (line_end) after_line_end = cursor.position();
  }
  if (line_ends && after_line_end > start) return after_line_end;
  return cursor.AtEnd() || last == start ? cursor.position() : last;
}

size_t Gpt2End(SplitPattern pattern, std::string_view text, size_t start) {
  if (text[start] == '\'') {
    if (const size_t end = ContractionEnd(pattern, text, start)) return end;
  }
  Cursor cursor(text, start, pattern == SplitPattern::kGpt2Digits ? kNumeric : 0);
  if (cursor.AtEnd()) {
    cursor.Advance();  // past a numeric
    return cursor.position();
  }
  const Cursor first = cursor;
  if (text[start] == ' ') cursor.Advance();
  if (cursor.Is(kLetter)) return RunEnd(cursor, kLetter);
  if (cursor.Is(kNumber)) return RunEnd(cursor, kNumber);
  if (cursor.IsOther()) {
    while (cursor.IsOther()) cursor.Advance();
    return cursor.position();
  }
  return SpaceEnd(first, /*line_ends=*/false);
}

size_t Qwen2End(SplitPattern pattern, std::string_view text, size_t start) {
  if (text[start] == '\'') {
    if (const size_t end = ContractionEnd(pattern, text, start)) return end;
  }
  Cursor cursor(text, start);
  const Cursor first = cursor;
  if (cursor.Is(kLetter)) return RunEnd(cursor, kLetter);
  if (cursor.Is(kNumber)) {
    const int most = pattern == SplitPattern::kLlama3 ? 3 : 1;
    for (int i = 0; i < most && cursor.Is(kNumber); ++i) cursor.Advance();
    return cursor.position();
  }
  const bool space = text[start] == ' ';
  cursor.Advance();
  if (!first.IsLineEnd() && cursor.Is(kLetter)) return RunEnd(cursor, kLetter);
  if (!space) cursor = first;
  if (cursor.IsOther()) {
    while (cursor.IsOther()) cursor.Advance();
    while (cursor.IsLineEnd()) cursor.Advance();
    return cursor.position();
  }
  return SpaceEnd(first, /*line_ends=*/true);
}

}  // namespace

std::optional<SplitPattern> FindSplitPattern(std::string_view regex) {
  if (regex == kGpt2Regex) return SplitPattern::kGpt2;
  if (regex == kQwen2Regex) return SplitPattern::kQwen2;
  if (regex == kLlama3Regex) return SplitPattern::kLlama3;
  return std::nullopt;
}

size_t ContractionEnd(SplitPattern pattern, std::string_view text, size_t start) {
  const bool ignore_case = pattern == SplitPattern::kQwen2 || pattern == SplitPattern::kLlama3;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const char c = text[i];
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  };
  const char first = letter(start + 1), second = letter(start + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return start + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return start + 3;
  if (first == 'l' && second == 'l') return start + 3;
  if (ignore_case && text.substr(start + 1, 2) == "\xC5\xBF") return start + 3;
  return 0;
}

size_t NextPieceEnd(SplitPattern pattern, std::string_view text, size_t start) {
  switch (pattern) {
    case SplitPattern::kGpt2:
    case SplitPattern::kGpt2Digits:
      return Gpt2End(pattern, text, start);
    case SplitPattern::kQwen2:
    case SplitPattern::kLlama3:
      return Qwen2End(pattern, text, start);
  }
  RADLADS_CHECK(false) << "no such split pattern";
  return 0;
}

PreTokenizer::PreTokenizer(std::vector<PreTokenizerStep> steps) {
  using Kind = PreTokenizerStep::Kind;
  for (const PreTokenizerStep& step : steps) {
    const bool digits_before =
        !steps_.empty() && steps_.back().kind == Kind::kDigits && steps_.back().individual_digits;
    if (digits_before && step.kind == Kind::kSplit && step.pattern == SplitPattern::kGpt2) {
      steps_.back() = {Kind::kSplit, SplitPattern::kGpt2Digits};
    } else {
      steps_.push_back(step);
    }
  }
}

size_t NextDigitsEnd(std::string_view text, size_t start, bool individual) {
  Cursor cursor(text, start);
  const bool numeric = cursor.Is(kNumeric);
  cursor.Advance();
  if (numeric && individual) return cursor.position();
  while (!cursor.AtEnd() && cursor.Is(kNumeric) == numeric) cursor.Advance();
  return cursor.position();
}

}  // namespace radlads
