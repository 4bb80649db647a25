// Ids of pre-tokenised pieces, most of them from a table of the words that one thread has met.
#ifndef RADLADS_DATA_TOKENIZER_WORD_ENCODER_H_
#define RADLADS_DATA_TOKENIZER_WORD_ENCODER_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "data/tokenizer/bpe.h"

namespace radlads {

static_assert(std::endian::native == std::endian::little);

// Words of up to 8 * kWords - 1 bytes with as many ids as an entry has room for, in buckets of two. A bucket that is
// full loses one entry to a new word: the second, and every eighth time the first as well, so that words met early stay
// for long but not for ever.
template <size_t kWords, size_t kEntryBytes>
class WordTable {
 public:
  static constexpr size_t kMaxSize = 8 * kWords - 1, kMaxIds = (kEntryBytes - 8 * kWords) / 4 - 1;
  using Key = std::array<uint64_t, kWords>;  // the bytes, zeros, and in the last byte their number
  struct Entry {
    Key key;
    int32_t ids[kMaxIds];
    uint32_t count;
  };
  static_assert(sizeof(Entry) == kEntryBytes);

  // A power of two of buckets.
  explicit WordTable(size_t buckets) : entries_(2 * buckets) {}

  // `word` has 1 to kMaxSize bytes; memory from its start to `limit` may be read.
  static Key KeyOf(std::string_view word, const char* limit) {
    Key key{};
    if (static_cast<size_t>(limit - word.data()) >= sizeof(key)) {
      Key mask;
      std::memcpy(&mask, &kMask[sizeof(key) - word.size()], sizeof(mask));
      std::memcpy(&key, word.data(), sizeof(key));
      for (size_t i = 0; i < kWords; ++i) key[i] &= mask[i];
    } else {
      std::memcpy(&key, word.data(), word.size());
    }
    key[kWords - 1] |= static_cast<uint64_t>(word.size()) << 56;
    return key;
  }

  void Prefetch(const Key& key) const { __builtin_prefetch(&entries_[BucketOf(key)]); }

  // The entry of `key`, or null.
  const Entry* Find(const Key& key) const {
    const Entry* entry = &entries_[BucketOf(key)];
    entry += !Equal(entry->key, key);  // no branch: either of the two is as likely
    return Equal(entry->key, key) ? entry : nullptr;
  }

  // At most kMaxIds ids.
  void Insert(const Key& key, std::span<const int32_t> ids) {
    Entry* bucket = &entries_[BucketOf(key)];
    if (bucket[0].key.back() == 0 || (++turn_ & 7) == 0) {
      bucket[1] = bucket[0];
    } else {
      ++bucket;
    }
    bucket->key = key;
    std::copy(ids.begin(), ids.end(), bucket->ids);
    bucket->count = static_cast<uint32_t>(ids.size());
  }

 private:
  static constexpr std::array<uint8_t, 16 * kWords> kMask = [] {
    std::array<uint8_t, 16 * kWords> ones_then_zeros{};
    for (size_t i = 0; i < 8 * kWords; ++i) ones_then_zeros[i] = 0xFF;
    return ones_then_zeros;
  }();

  // What == does through memcmp.
  static bool Equal(const Key& a, const Key& b) {
    uint64_t difference = 0;
    for (size_t i = 0; i < kWords; ++i) difference |= a[i] ^ b[i];
    return difference == 0;
  }

  size_t BucketOf(const Key& key) const {
    uint64_t hash = 0;
    for (size_t i = 0; i < kWords; i += 2) {
      const unsigned __int128 product =
          static_cast<unsigned __int128>(key[i] ^ 0x9E3779B97F4A7C15ull ^ hash) * (key[i + 1] ^ 0xC2B2AE3D27D4EB4Full);
      hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }
    return 2 * (hash & (entries_.size() / 2 - 1));
  }

  std::vector<Entry> entries_;
  uint32_t turn_ = 0;
};

// One thread; the Bpe must outlive it.
class WordEncoder {
 public:
  // `cached_words`: a power of two from 64, about how many short words are remembered, and an eighth as many long ones:
  // 48 bytes each.
  WordEncoder(const Bpe* bpe, size_t cached_words)
      : bpe_(bpe), short_words_(cached_words / 2), long_words_(cached_words / 16) {}

  // Ids are appended to *ids between Begin and End, not necessarily at once.
  void Begin(std::vector<int32_t>* ids) { ids_ = ids; }
  void End() {
    Resolve();
    Flush();
  }

  void Append(int32_t id) {
    Resolve();
    Put(std::span(&id, 1));
  }

  // Appends the ids of a piece that is not empty. Memory from its start to `limit` may be read.
  void Encode(std::string_view piece, const char* limit) {
    if (piece.size() > ShortWords::kMaxSize) {
      Resolve();
      EncodeLong(piece, limit);
      return;
    }
    keys_[waiting_] = ShortWords::KeyOf(piece, limit);
    short_words_.Prefetch(keys_[waiting_]);
    if (++waiting_ == kBatch) Resolve();
  }

 private:
  using ShortWords = WordTable<2, 32>;
  using LongWords = WordTable<4, 128>;
  // Short words are looked up by so many at once, while memory fetches their entries.
  static constexpr size_t kBatch = 64;
  static constexpr size_t kBuffer = 1024;
  // Stands for the ids of a short word that has too many for its table: they are in the other one.
  static constexpr int32_t kElsewhere = -1;

  void Resolve();
  void EncodeShort(const ShortWords::Key& key);
  void EncodeLong(std::string_view piece, const char* limit);
  void Put(std::span<const int32_t> ids);
  void Flush();

  const Bpe* bpe_;
  ShortWords short_words_;
  LongWords long_words_;
  BpeScratch scratch_;
  std::vector<int32_t> piece_ids_;
  size_t waiting_ = 0;
  std::array<ShortWords::Key, kBatch> keys_;
  std::vector<int32_t>* ids_ = nullptr;
  size_t used_ = 0;
  std::array<int32_t, kBuffer> buffer_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_WORD_ENCODER_H_
