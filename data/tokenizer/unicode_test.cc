#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

std::string Lossy(std::string_view bytes) {
  std::string text;
  EXPECT_EQ(AppendUtf8Lossy(bytes, true, &text), bytes.size());
  return text;
}

TEST(Utf8, ReplacesEachMaximalIllFormedPart) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(Lossy("a\xE2\x82"
                  "b"),
            "a" + r + "b");
  EXPECT_EQ(Lossy("\xF0\x9F\x99"), r);
  EXPECT_EQ(Lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(Lossy("\xC0\x80"), r + r);
  EXPECT_EQ(Lossy("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(Lossy("\xE2\xE2\x82\xAC"), r + "\xE2\x82\xAC");
  EXPECT_EQ(Lossy(std::string_view("a\0b", 3)), std::string("a\0b", 3));
  EXPECT_EQ(Lossy("long ascii text, then one \xFF and more ascii text"),
            "long ascii text, then one " + r + " and more ascii text");
}

TEST(Utf8, HoldsBackOnlyWhatMayStillBecomeACharacter) {
  std::string text;
  EXPECT_EQ(AppendUtf8Lossy("ab\xF0\x9F\x99", false, &text), 2u);
  EXPECT_EQ(text, "ab");
  text.clear();
  EXPECT_EQ(AppendUtf8Lossy("\xED\xA0", false, &text), 2u) << "a surrogate cannot be completed";
  EXPECT_EQ(text, "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Utf8, EveryCodePointSurvives) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendCodePoint(c, &text);
    ASSERT_TRUE(IsValidUtf8(text)) << std::hex << static_cast<uint32_t>(c);
    size_t i = 0;
    ASSERT_EQ(NextCodePoint(text, &i), c);
    ASSERT_EQ(i, text.size());
  }
}

// The sizes of the classes in the `tokenizers` library 0.23.3, counted by asking it about every
// code point.
TEST(CharacterClasses, AreAsLargeAsTheLibrarys) {
  std::vector<int> counts(8);
  for (uint32_t c = 0; c < 0x110000; ++c) {
    for (int bit = 0; bit < 8; ++bit) counts[bit] += CharacterClasses()[c] >> bit & 1;
  }
  EXPECT_EQ(counts[0], 141028) << "kLetter";
  EXPECT_EQ(counts[1], 1911) << "kNumber";
  EXPECT_EQ(counts[2], 25) << "kSpace";
  EXPECT_EQ(counts[3], 1924) << "kNumeric";
  EXPECT_EQ(counts[4], 144667) << "kWord";
}

std::string Nfc(std::string_view text) {
  std::string storage;
  std::vector<int32_t> code_points;
  return std::string(NormalizeNfc(text, &storage, &code_points));
}

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(Nfc(""), "");
  EXPECT_EQ(Nfc("plain"), "plain");
  EXPECT_EQ(Nfc("cafe\u0301s"), "caf\u00e9s");
  EXPECT_EQ(Nfc("e\u0301e\u0301"), "\u00e9\u00e9");
  EXPECT_EQ(Nfc("\u0301e"), "\u0301e") << "a mark without a base";
  EXPECT_EQ(Nfc("\u212b \u2126"), "\u00c5 \u03a9") << "singletons";
  EXPECT_EQ(Nfc("q\u0307\u0323"), "q\u0323\u0307") << "canonical order";
  EXPECT_EQ(Nfc("\u1e9b\u0323"), "\u1e9b\u0323");
  EXPECT_EQ(Nfc("\u0915\u093c \u0958"), "\u0915\u093c \u0915\u093c") << "composition exclusion";
  EXPECT_EQ(Nfc("\u1100\u1161\u11a8 \u1100\u1161 \uac00\u11a8"), "\uac01 \uac00 \uac01")
      << "Hangul";
  EXPECT_EQ(Nfc(std::string_view("a\0e\u0301", 5)), std::string("a\0\u00e9", 4));
}

TEST(Nfc, LeavesWhatTheLibraryDoesNotKnow) {
  EXPECT_EQ(Nfc("a\u1ac0\u0334"), "a\u1ac0\u0334")
      << "U+1AC0 (Unicode 13) has class 220, U+0334 class 1";
  EXPECT_EQ(Nfc("\U00011935\U00011930"), "\U00011935\U00011930") << "composes since Unicode 13";
  EXPECT_EQ(Nfc("e\u1ac0\u0301"), "e\u1ac0\u0301");
  EXPECT_EQ(Nfc("\u0378\u0301"), "\u0378\u0301") << "unassigned";
}

TEST(Nfc, LongRunsOfMarksAreNotQuadratic) {
  std::string marks = "a", sorted = "a";
  const int kPairs = 200000;
  for (int i = 0; i < kPairs; ++i) marks += "\u0315\u0334";  // class 232, class 1
  for (int i = 0; i < kPairs; ++i) sorted += "\u0334";
  for (int i = 0; i < kPairs; ++i) sorted += "\u0315";
  EXPECT_TRUE(Nfc(marks) == sorted);
}

}  // namespace
}  // namespace radlads
