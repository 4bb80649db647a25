#include "serve/text/growing_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

using Strings = std::vector<std::string>;

std::shared_ptr<const Tokenizer> Qwen() {
  static const auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/qwen2").value();
  return tokenizer;
}

// Pieces of a text that comes byte by byte.
Strings Pieces(std::string_view text, const Strings& until) {
  GrowingText growing(Qwen(), until);
  Strings pieces;
  for (const char c : text) {
    const bool more = growing.Append(Qwen()->IdOf(ByteToCharacter(static_cast<uint8_t>(c))).value());
    pieces.push_back(growing.Take());
    if (!more) break;
  }
  growing.Finish();
  pieces.push_back(growing.Take());
  std::string whole;
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(IsValidUtf8(piece)) << "a part of a character";
    whole += piece;
  }
  EXPECT_EQ(whole, growing.text());
  return pieces;
}

TEST(GrowingText, HoldsBackWhatMayBeginAStop) {
  EXPECT_EQ(Pieces("abcd", {}), (Strings{"a", "b", "c", "d", ""}));
  EXPECT_EQ(Pieces("ab12x", {"123"}), (Strings{"a", "b", "", "", "12x", ""}));
  EXPECT_EQ(Pieces("ab1", {"123"}), (Strings{"a", "b", "", "1"}));
  EXPECT_EQ(Pieces("ab1234", {"123"}), (Strings{"a", "b", "", "", "", ""}));
  // What is held back may shrink: of "11", the second may begin "12".
  EXPECT_EQ(Pieces("1112!", {"12"}), (Strings{"", "1", "1", "", ""}));
  // The longest of several, and the first to be whole.
  EXPECT_EQ(Pieces("xaab-", {"aabc", "ab-"}), (Strings{"x", "", "", "", "a", ""}));
  EXPECT_EQ(Pieces("ab", {"", "b"}), (Strings{"a", "", ""}));
}

TEST(GrowingText, CharactersComeWhole) {
  EXPECT_EQ(Pieces("é€", {}), (Strings{"", "é", "", "", "€", ""}));
  EXPECT_EQ(Pieces("aé!", {"é?"}), (Strings{"a", "", "", "é!", ""}));
  EXPECT_EQ(Pieces("a\xC3", {}), (Strings{"a", "", "\xEF\xBF\xBD"})) << "cut off";
  // Half a character as a stop string: nothing of it is ever a text's end.
  EXPECT_EQ(Pieces("aéz", {"\xA9!"}), (Strings{"a", "", "", "éz", ""}));
}

TEST(GrowingText, EveryCutOfALongerText) {
  const std::string text = "one\n\ntwo\n\n\nthree\nUser: four";
  for (const Strings& until : {Strings{"\n\n\n"}, Strings{"\nUser:"}, Strings{"o\n", "four"}, Strings{"none"}}) {
    size_t end = text.size();
    for (const std::string& stop : until) end = std::min(end, text.find(stop));
    std::string whole;
    for (const std::string& piece : Pieces(text, until)) whole += piece;
    EXPECT_EQ(whole, text.substr(0, end)) << until[0];
  }
}

// Not before the text is so long as it must be; what was held back may be a part of it.
TEST(GrowingText, AStopEndsOnlyATextThatIsWatched) {
  for (const auto& [watch_from, want] :
       {std::pair(0, "a"), std::pair(2, "a"), std::pair(3, "a"), std::pair(4, "aENDb"), std::pair(9, "aENDbEND")}) {
    GrowingText growing(Qwen(), {"EN", "END"});
    int count = 0;
    for (const char c : std::string_view("aENDbEND")) {
      if (!growing.Append(Qwen()->IdOf(ByteToCharacter(static_cast<uint8_t>(c))).value(), count++ >= watch_from)) break;
    }
    growing.Finish();
    EXPECT_EQ(growing.text(), want) << watch_from;
    EXPECT_EQ(growing.Take(), want);
  }
}

TEST(StopIdsTest, SpecialTokensEndByTheirIds) {
  const auto ids = StopIds(*Qwen(), {"<|im_end|>", "word"});
  const auto has = [&](const char* token) {
    return std::find(ids.begin(), ids.end(), Qwen()->IdOf(token).value()) != ids.end();
  };
  EXPECT_TRUE(has("<|im_end|>"));
  EXPECT_FALSE(has("word"));
  EXPECT_EQ(StopIds(*Qwen(), {}, {5}, /*ignore_eos=*/true), std::vector<int64_t>{5});
  EXPECT_EQ(StopIds(*Qwen(), {}, {5}).size(), 1 + Qwen()->stop_ids().size());
}

}  // namespace
}  // namespace radlads
