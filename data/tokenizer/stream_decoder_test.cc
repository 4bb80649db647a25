#include "data/tokenizer/stream_decoder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> LoadQwen() {
  auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/qwen2");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

// The token of every single byte: a cut at every place.
Ids ByteIds(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  for (const char c : text)
    ids.push_back(tokenizer.IdOf(ByteToCharacter(static_cast<uint8_t>(c))).value());
  return ids;
}

std::string Stream(StreamDecoder* decoder, const Ids& ids) {
  std::string text;
  for (const int32_t id : ids) {
    const auto part = decoder->Push(id);
    EXPECT_TRUE(part.ok()) << part.status();
    EXPECT_TRUE(IsValidUtf8(*part)) << "part of a character";
    text += *part;
  }
  const std::string rest = decoder->Flush();
  EXPECT_TRUE(IsValidUtf8(rest));
  return text + rest;
}

TEST(StreamDecoder, CharactersCutAnywhereComeWhole) {
  const auto tokenizer = LoadQwen();
  const std::string text =
      "a\u00e9\u4f60\u597d\U0001F642\U0001F468\u200d\U0001F469 \U0001F1E9\U0001F1EA \uD55C!";
  const Ids bytes = ByteIds(*tokenizer, text);
  StreamDecoder decoder(tokenizer, true);
  EXPECT_EQ(Stream(&decoder, bytes), text);
  EXPECT_EQ(Stream(&decoder, bytes), text) << "after Flush the decoder starts anew";
  // Every character appears with its last byte.
  const Ids emoji = ByteIds(*tokenizer, "\U0001F642");
  EXPECT_EQ(*decoder.Push(emoji[0]), "");
  EXPECT_EQ(*decoder.Push(emoji[1]), "");
  EXPECT_EQ(*decoder.Push(emoji[2]), "");
  EXPECT_EQ(*decoder.Push(emoji[3]), "\U0001F642");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamDecoder, BrokenCharactersAreReplacedAsSoonAsTheyAreCertain) {
  const auto tokenizer = LoadQwen();
  StreamDecoder decoder(tokenizer, false);
  const Ids ids = ByteIds(*tokenizer, "\xE2\x82x\xE2");
  EXPECT_EQ(*decoder.Push(ids[0]), "");
  EXPECT_EQ(*decoder.Push(ids[1]), "");
  EXPECT_EQ(*decoder.Push(ids[2]), "\uFFFDx");
  EXPECT_EQ(*decoder.Push(ids[3]), "");
  EXPECT_EQ(decoder.Flush(), "\uFFFD");
}

TEST(StreamDecoder, AnUnknownIdChangesNothing) {
  const auto tokenizer = LoadQwen();
  StreamDecoder decoder(tokenizer, false);
  const Ids ids = ByteIds(*tokenizer, "\u00e9");
  EXPECT_EQ(*decoder.Push(ids[0]), "");
  EXPECT_EQ(decoder.Push(1 << 20).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(*decoder.Push(ids[1]), "\u00e9");
}

TEST(StreamDecoder, PartsTogetherAreDecode) {
  const auto tokenizer = LoadQwen();
  std::ifstream file("data/tokenizer/testdata/qwen2/decode.jsonl");
  ASSERT_TRUE(file.good());
  std::vector<Ids> lists;
  for (std::string line; std::getline(file, line);)
    lists.push_back(nlohmann::json::parse(line)["ids"].get<Ids>());
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    Ids ids(random() % 30);
    for (int32_t& id : ids)
      id = static_cast<int32_t>(random() % (random() % 2 ? 256 : tokenizer->vocab_size()));
    lists.push_back(ids);
  }
  for (const bool skip : {false, true}) {
    StreamDecoder decoder(tokenizer, skip);
    for (const Ids& ids : lists)
      EXPECT_EQ(Stream(&decoder, ids), tokenizer->Decode(ids, skip).value());
  }
}

}  // namespace
}  // namespace radlads
