#include "data/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <random>
#include <string>
#include <vector>

#include "data/tokenizer/testing/random_text.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

// The regular expressions as they are written: alternatives tried in order on a list of code points, greedy, with
// backtracking where they need it.
class Regex {
 public:
  Regex(SplitPattern pattern, const std::u32string& text) : pattern_(pattern), text_(text) {}

  size_t MatchEnd(size_t i) const {
    if (const size_t end = Contraction(i)) return end;
    return pattern_ == SplitPattern::kGpt2 ? Gpt2End(i) : Qwen2End(i);
  }

 private:
  bool Is(size_t i, uint8_t classes) const { return i < text_.size() && (CharacterClasses()[text_[i]] & classes); }
  bool IsOther(size_t i) const { return i < text_.size() && !Is(i, kSpace | kLetter | kNumber); }
  bool IsLineEnd(size_t i) const { return i < text_.size() && (text_[i] == '\r' || text_[i] == '\n'); }
  template <typename Predicate>
  size_t Run(size_t i, Predicate&& predicate) const {
    while (predicate(i)) ++i;
    return i;
  }

  // 's|'t|'re|'ve|'m|'ll|'d; 0 for no match.
  size_t Contraction(size_t i) const {
    if (text_[i] != '\'') return 0;
    for (const std::u32string_view letters : {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"}) {
      bool match = i + letters.size() < text_.size();
      for (size_t k = 0; match && k < letters.size(); ++k) {
        char32_t c = text_[i + 1 + k];
        if (pattern_ != SplitPattern::kGpt2) {
          if (c >= 'A' && c <= 'Z') c |= 0x20;
          if (c == 0x17F) c = 's';
        }
        match = c == letters[k];
      }
      if (match) return i + 1 + letters.size();
    }
    return 0;
  }

  // \s+(?!\S)|\s+
  size_t SpaceEnd(size_t i) const {
    const size_t end = Run(i, [&](size_t k) { return Is(k, kSpace); });
    for (size_t k = end; k > i; --k) {
      if (k == text_.size() || Is(k, kSpace)) return k;
    }
    return end;
  }

  size_t Gpt2End(size_t i) const {
    for (const size_t start : {i + (text_[i] == ' '), i}) {  // ` ?`
      if (Is(start, kLetter)) return Run(start, [&](size_t k) { return Is(k, kLetter); });
      if (Is(start, kNumber)) return Run(start, [&](size_t k) { return Is(k, kNumber); });
      if (IsOther(start)) return Run(start, [&](size_t k) { return IsOther(k); });
    }
    return SpaceEnd(i);
  }

  size_t Qwen2End(size_t i) const {
    for (const size_t start : {i + (!IsLineEnd(i) && !Is(i, kLetter | kNumber)), i}) {  // `[^\r\n\p{L}\p{N}]?`
      if (Is(start, kLetter)) return Run(start, [&](size_t k) { return Is(k, kLetter); });
    }
    if (Is(i, kNumber)) {
      const size_t most = pattern_ == SplitPattern::kLlama3 ? 3 : 1;
      return Run(i, [&](size_t k) { return k < i + most && Is(k, kNumber); });
    }
    for (const size_t start : {i + (text_[i] == ' '), i}) {  // ` ?`
      if (!IsOther(start)) continue;
      const size_t end = Run(start, [&](size_t k) { return IsOther(k); });
      return Run(end, [&](size_t k) { return IsLineEnd(k); });
    }
    // `\s*[\r\n]+`
    for (size_t k = Run(i, [&](size_t k) { return Is(k, kSpace); }); k > i; --k) {
      if (IsLineEnd(k - 1)) return k;
    }
    return SpaceEnd(i);
  }

  SplitPattern pattern_;
  const std::u32string& text_;
};

std::vector<std::string> PiecesByDefinition(SplitPattern pattern, std::u32string_view text) {
  std::vector<std::string> pieces;
  if (pattern == SplitPattern::kGpt2Digits) {
    for (size_t start = 0; start < text.size();) {
      size_t end = start;
      while (end < text.size() && !(CharacterClasses()[text[end]] & kNumeric)) ++end;
      if (end == start) {
        pieces.push_back(ToUtf8(text.substr(start, 1)));
        ++start;
        continue;
      }
      for (std::string& piece : PiecesByDefinition(SplitPattern::kGpt2, text.substr(start, end - start)))
        pieces.push_back(std::move(piece));
      start = end;
    }
    return pieces;
  }
  const std::u32string copy(text);
  const Regex regex(pattern, copy);
  for (size_t start = 0; start < copy.size();) {
    const size_t end = regex.MatchEnd(start);
    pieces.push_back(ToUtf8(text.substr(start, end - start)));
    start = end;
  }
  return pieces;
}

class Pattern : public testing::TestWithParam<SplitPattern> {
 protected:
  void Check(const std::u32string& text) {
    const std::string bytes = ToUtf8(text);
    const std::vector<std::string> expected = PiecesByDefinition(GetParam(), text);
    std::vector<std::string> pieces;
    ForEachPiece(GetParam(), bytes, [&](std::string_view piece) { pieces.emplace_back(piece); });
    ASSERT_EQ(pieces, expected) << testing::PrintToString(bytes);

    std::vector<size_t> starts;
    for (size_t start = 0; start < bytes.size(); start = NextPieceEnd(GetParam(), bytes, start))
      starts.push_back(start);
    ASSERT_EQ(starts.size(), expected.size()) << testing::PrintToString(bytes);
    for (size_t i = 0; i < starts.size() && starts[i] + kPieceWindow <= bytes.size(); ++i) {
      ASSERT_EQ(bytes.substr(starts[i], expected[i].size()), expected[i]);
      const uint64_t found = PieceStarts(GetParam(), bytes.data() + starts[i]);
      const int last = 63 - std::countl_zero(found);
      uint64_t right = 0;
      for (size_t k = i; k < starts.size() && starts[k] <= starts[i] + last; ++k)
        right |= uint64_t{1} << (starts[k] - starts[i]);
      ASSERT_EQ(found, right) << "at " << starts[i] << " of " << testing::PrintToString(bytes);
    }
  }
};

TEST_P(Pattern, IsTheRegularExpression) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    std::mt19937 random(17);
    for (int i = 0; i < 3000 && !HasFatalFailure(); ++i) Check(RandomText(random, 1 + random() % 250));
    if (HasFatalFailure()) FAIL() << "with " << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST_P(Pattern, SeesMostOfOrdinaryTextAtOnce) {
  // Else it would still be right, but slow.
  const std::string text =
      "It's a truth universally acknowledged, that a single man in possession of 1,000 pounds (\u201ca good "
      "fortune\u201d)"
      ",\n    must be in want of a wife.\n\nHowever little known the feelings of such a man may be on his first "
      "entering";
  for (size_t start = 0; start + kPieceWindow <= text.size(); start = NextPieceEnd(GetParam(), text, start))
    EXPECT_GE(63 - std::countl_zero(PieceStarts(GetParam(), text.data() + start)), 44) << text.substr(start, 64);
}

std::string NameOf(const testing::TestParamInfo<SplitPattern>& info) {
  const char* const names[] = {"Gpt2", "Qwen2", "Llama3", "Gpt2Digits"};
  return names[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(All, Pattern,
                         testing::Values(SplitPattern::kGpt2, SplitPattern::kQwen2, SplitPattern::kLlama3,
                                         SplitPattern::kGpt2Digits),
                         NameOf);

std::vector<std::string> Split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  std::vector<std::string> pieces;
  std::string prefixed;
  pre_tokenizer.Split(text, &prefixed, [&](std::string_view piece, const char* limit) {
    EXPECT_GE(limit, piece.data() + piece.size());
    pieces.emplace_back(piece);
  });
  return pieces;
}

TEST(PreTokenizer, StepsFollowEachOther) {
  using Kind = PreTokenizerStep::Kind;
  using Pieces = std::vector<std::string>;
  const PreTokenizerStep digits = {Kind::kDigits, SplitPattern::kGpt2, true}, runs = {Kind::kDigits},
                         prefix = {Kind::kPrefix}, split = {Kind::kSplit};
  const std::string text = "a  12's b";
  EXPECT_EQ(Split(PreTokenizer({split}), text), (Pieces{"a", " ", " 12", "'s", " b"}));
  EXPECT_EQ(Split(PreTokenizer({digits, split}), text), (Pieces{"a", "  ", "1", "2", "'s", " b"}));
  EXPECT_EQ(Split(PreTokenizer({runs, split}), text), (Pieces{"a", "  ", "12", "'s", " b"}));
  EXPECT_EQ(Split(PreTokenizer({prefix, split}), text), (Pieces{" a", " ", " 12", "'s", " b"}));
  EXPECT_EQ(Split(PreTokenizer({digits, prefix, split}), text), (Pieces{" a", "  ", " 1", " 2", " '", "s", " b"}));
  EXPECT_EQ(Split(PreTokenizer(), text), Pieces{text});
}

}  // namespace
}  // namespace radlads
