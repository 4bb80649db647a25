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

// Scratch memory of one thread.
class BpeScratch {
 private:
  friend class Bpe;
  std::string known_;
  std::vector<int32_t> symbols_;
  std::vector<uint32_t> offsets_;                  // where each symbol begins
  std::vector<uint32_t> ranks_, previous_, next_;  // of MergeWithQueue
  std::vector<uint64_t> queue_;
};

// Immutable; shared by threads.
class Bpe {
 public:
  // Ids are less than kMaxId, merges at most kMaxMerges.
  static constexpr int32_t kMaxId = 1 << 20;
  static constexpr size_t kMaxMerges = (1 << 24) - 1;

  Bpe() = default;
  // byte_ids: the token of every byte, -1 for a byte that the vocabulary lacks (text loses such bytes silently, as in
  // the `tokenizers` library). merges: in order of rank; the last one of a pair counts. whole_pieces: tokens by their
  // bytes, tried before merging (ignore_merges); empty to merge always.
  Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges,
      absl::flat_hash_map<std::string, int32_t> whole_pieces);

  // Appends the ids of `piece`: merges the pair of lowest rank, leftmost first, until none is left. Time is linear in
  // the length of the piece and scratch memory does not grow with it, unless the vocabulary makes its end decide about
  // its beginning (see EncodeLong); then O(n log n) and O(n).
  void Encode(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const;

 private:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  uint32_t Rank(int32_t left, int32_t right) const;
  uint32_t ByteRank(char first, char second) const {
    return byte_ranks_[static_cast<uint8_t>(first) << 8 | static_cast<uint8_t>(second)];
  }

  size_t PlaceOf(uint64_t pair) const { return pair * 0x9E3779B97F4A7C15ull >> pair_shift_; }

  // To scratch->symbols_ and offsets_. `piece` has no bytes that the vocabulary lacks.
  void Merge(std::string_view piece, BpeScratch* scratch) const;
  void MergeShort(std::string_view piece, BpeScratch* scratch) const;
  void MergeWithQueue(std::string_view piece, BpeScratch* scratch) const;
  // Keeps the symbols of the list.
  static void Gather(const uint32_t* next, BpeScratch* scratch);

  void EncodeLong(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const;
  bool EncodeInParts(std::string_view piece, size_t part_size, BpeScratch* scratch, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> byte_ids_{};
  bool knows_all_bytes_ = false;
  std::vector<uint32_t> byte_ranks_;  // of the pair of bytes first << 8 | second
  std::vector<uint64_t> pairs_;  // open addressing, a power of two of places: left, right (20 bits each), rank (24)
  int pair_shift_ = 63;
  std::vector<int32_t> results_;  // by rank
  absl::flat_hash_map<std::string, int32_t> whole_pieces_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_BPE_H_
