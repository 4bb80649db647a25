// Byte-pair merging: from the bytes of one pre-tokenised piece to token ids.
#ifndef RADLADS_DATA_TOKENIZER_BPE_H_
#define RADLADS_DATA_TOKENIZER_BPE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace radlads {

struct BpeMerge {
  int32_t left, right, result;
};

// Scratch memory of one thread, and the results of recent short pieces. The cache is a
// direct-mapped table of fixed size: a piece that falls on the place of another one replaces it.
class BpeScratch {
 public:
  // A power of two of entries of 64 bytes, or 0 for no cache.
  explicit BpeScratch(size_t cache_entries) : cache_(cache_entries) {}

 private:
  friend class Bpe;
  static constexpr size_t kMaxKey = 30, kMaxIds = 8;
  struct CacheEntry {
    uint8_t key_size = 0;  // 0: empty
    uint8_t ids_size = 0;
    char key[kMaxKey];
    int32_t ids[kMaxIds];
  };
  static_assert(sizeof(CacheEntry) == 64);

  std::vector<CacheEntry> cache_;
  std::vector<int32_t> symbols_;
  std::vector<uint32_t> ranks_;
  std::vector<uint32_t> previous_, next_;
  std::vector<uint64_t> queue_;
};

// Immutable; shared by threads.
class Bpe {
 public:
  Bpe() = default;
  // byte_ids: the token of every byte, -1 for a byte that the vocabulary lacks (text loses such
  // bytes silently, as in the `tokenizers` library). merges: in order of rank. whole_pieces: tokens
  // by their bytes, tried before merging (ignore_merges); empty to merge always.
  Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges,
      absl::flat_hash_map<std::string, int32_t> whole_pieces);

  // Appends the ids of `piece`: merges the pair of lowest rank, leftmost first, until none is left.
  // O(n log n) in the length of the piece.
  void Encode(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const;

 private:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  struct PairEntry {
    uint64_t pair;
    uint32_t rank;
  };
  uint32_t Rank(int32_t left, int32_t right) const;
  void Merge(std::string_view piece, BpeScratch* scratch) const;
  void MergeShort(BpeScratch* scratch) const;
  void MergeLong(BpeScratch* scratch) const;

  std::array<int32_t, 256> byte_ids_{};
  std::vector<PairEntry> pairs_;  // open addressing, a power of two of places
  int pair_shift_ = 63;
  std::vector<int32_t> results_;  // by rank
  absl::flat_hash_map<std::string, int32_t> whole_pieces_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_BPE_H_
