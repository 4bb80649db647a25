#include "data/tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/word_encoder.h"

namespace radlads {
namespace {

using Ids = std::vector<int32_t>;

std::array<int32_t, 256> ByteIds() {
  std::array<int32_t, 256> ids;
  for (int i = 0; i < 256; ++i) ids[i] = i;
  return ids;
}

// The lowest rank anywhere, leftmost, one at a time.
Ids MergeByDefinition(Ids symbols, const std::vector<BpeMerge>& merges) {
  std::map<std::pair<int32_t, int32_t>, size_t> ranks;
  for (size_t rank = 0; rank < merges.size(); ++rank) ranks[{merges[rank].left, merges[rank].right}] = rank;
  std::vector<size_t> next(symbols.size()), previous(symbols.size());
  std::set<std::pair<size_t, size_t>> queue;  // rank, position
  const auto change = [&](size_t i, bool add) {
    if (next[i] >= symbols.size()) return;
    const auto it = ranks.find({symbols[i], symbols[next[i]]});
    if (it == ranks.end()) return;
    if (add) {
      queue.insert({it->second, i});
    } else {
      queue.erase({it->second, i});
    }
  };
  for (size_t i = 0; i < symbols.size(); ++i) next[i] = i + 1, previous[i] = i - 1;
  for (size_t i = 0; i < symbols.size(); ++i) change(i, true);
  while (!queue.empty()) {
    const auto [rank, i] = *queue.begin();
    const size_t gone = next[i];
    change(i, false);
    change(gone, false);
    if (i > 0) change(previous[i], false);
    symbols[i] = merges[rank].result;
    next[i] = next[gone];
    if (next[i] < symbols.size()) previous[next[i]] = i;
    change(i, true);
    if (i > 0) change(previous[i], true);
  }
  Ids ids;
  for (size_t i = 0; i < symbols.size(); i = next[i]) ids.push_back(symbols[i]);
  return ids;
}

// Merges of random symbols made of `letters`, in an order in which a result may rank before its parts' results.
std::vector<BpeMerge> RandomMerges(std::mt19937& random, const std::string& letters, int32_t count) {
  std::vector<BpeMerge> merges;
  Ids symbols(letters.begin(), letters.end());
  std::set<std::pair<int32_t, int32_t>> known;
  for (int32_t next = 256; next < 256 + count; ++next) {
    const int32_t left = symbols[random() % symbols.size()], right = symbols[random() % symbols.size()];
    if (!known.insert({left, right}).second) continue;
    merges.push_back({left, right, next});
    symbols.push_back(next);
  }
  for (size_t i = random() % 3 == 0 ? merges.size() / 4 : 0; i > 0; --i)
    std::swap(merges[random() % merges.size()], merges[random() % merges.size()]);
  return merges;
}

std::string RandomPiece(std::mt19937& random, const std::string& letters, size_t size) {
  std::string piece;
  while (piece.size() < size) {
    const char letter = letters[random() % letters.size()];
    piece.append(random() % 50 == 0 ? random() % 300 : 1, letter);
  }
  piece.resize(size);
  return piece;
}

TEST(Bpe, MergesByTheDefinitionAtEveryLength) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::array<int32_t, 256> byte_ids = ByteIds();
    if (round % 3 == 0) byte_ids['d'] = -1;
    const std::string letters = round % 2 ? "aaabbc" : "aaabbbcccefghijklm";
    const auto merges = RandomMerges(random, letters, 30);
    const Bpe bpe(byte_ids, merges, {});
    BpeScratch scratch;
    for (int trial = 0; trial < 12; ++trial) {
      const std::string piece = RandomPiece(random, letters + "d", random() % (trial == 0 ? 20'000 : 150));
      Ids bytes;
      for (const char c : piece) {
        if (byte_ids[static_cast<uint8_t>(c)] >= 0) bytes.push_back(c);
      }
      Ids ids = {-5};
      bpe.Encode(piece, &scratch, &ids);
      ASSERT_EQ(ids[0], -5);
      ids.erase(ids.begin());
      ASSERT_EQ(ids, MergeByDefinition(bytes, merges)) << "round " << round << ": " << piece;
    }
  }
}

TEST(Bpe, TokensLongerThanAPartAreFound) {
  // Token i is 2^i letters a, or that many and a b: the b at the end decides about all of the piece.
  std::vector<BpeMerge> merges;
  Ids powers = {'a'};
  int32_t next = 256;
  merges.push_back({'a', 'b', next++});
  for (int i = 0; i < 13; ++i) {
    merges.push_back({powers.back(), powers.back(), next});
    powers.push_back(next++);
  }
  const Bpe bpe(ByteIds(), merges, {});
  BpeScratch scratch;
  for (const size_t size : {1023, 1024, 1025, 4096, 8192, 8193, 20'000}) {
    for (const char* end : {"", "b", "ab"}) {
      const std::string piece = std::string(size, 'a') + end;
      Ids ids;
      bpe.Encode(piece, &scratch, &ids);
      EXPECT_EQ(ids, MergeByDefinition(Ids(piece.begin(), piece.end()), merges)) << size << end;
    }
  }
}

TEST(Bpe, TheEndOfAPieceMayDecideAboutItsBeginning) {
  // A token for every ending of ...xyxyz, each made of the one before, and one for xy.
  std::vector<BpeMerge> merges;
  int32_t ending = 'z', next = 256;
  for (int i = 0; i < 6000; ++i, ending = next++) merges.push_back({i % 2 ? 'x' : 'y', ending, next});
  merges.push_back({'x', 'y', next});
  const Bpe bpe(ByteIds(), merges, {});
  BpeScratch scratch;
  for (const size_t pairs : {400, 600, 2900, 3100, 10'000}) {
    for (const char* end : {"z", "x", "zxyxyz"}) {
      std::string piece;
      for (size_t i = 0; i < pairs; ++i) piece += "xy";
      piece += end;
      Ids ids;
      bpe.Encode(piece, &scratch, &ids);
      EXPECT_EQ(ids, MergeByDefinition(Ids(piece.begin(), piece.end()), merges)) << pairs << " " << end;
    }
  }
}

TEST(Bpe, WholePiecesComeFirst) {
  const Bpe bpe(ByteIds(), {{'a', 'b', 256}}, {{"abc", 300}});
  BpeScratch scratch;
  Ids ids;
  bpe.Encode("abc", &scratch, &ids);
  bpe.Encode("abcd", &scratch, &ids);
  EXPECT_EQ(ids, (Ids{300, 256, 'c', 'd'}));
}

TEST(WordEncoder, GivesWhatMergingGives) {
  std::mt19937 random(23);
  const std::string letters = "abcdefgh";
  const auto merges = RandomMerges(random, letters, 200);
  const Bpe bpe(ByteIds(), merges, {});
  BpeScratch scratch;
  for (const size_t cached_words : {64, 1024}) {  // few enough that words push each other out
    WordEncoder encoder(&bpe, cached_words);
    for (int round = 0; round < 30; ++round) {
      std::vector<std::string> words;
      for (int i = 0; i < 300; ++i) words.push_back(RandomPiece(random, letters, 1 + random() % (i % 8 ? 4 : 40)));
      words.push_back(std::string("\0", 1));
      words.push_back(std::string("\0\0", 2));
      words.push_back(RandomPiece(random, letters, 3000));
      Ids expected = {7}, ids = {7};
      encoder.Begin(&ids);
      for (int i = 0; i < 2000; ++i) {
        if (random() % 50 == 0) {
          encoder.Append(i);
          expected.push_back(i);
        }
        // The same words with other bytes behind them, or with none.
        const std::string& word = words[random() % words.size()];
        const std::string memory = word + std::string(random() % 40, static_cast<char>(random()));
        encoder.Encode(std::string_view(memory).substr(0, word.size()), memory.data() + memory.size());
        bpe.Encode(word, &scratch, &expected);
      }
      encoder.End();
      ASSERT_EQ(ids, expected) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace radlads
