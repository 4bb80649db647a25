#include "data/tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

constexpr uint64_t kEmpty = ~uint64_t{0};
constexpr int kIdBits = 20, kRankBits = 24;
// Pieces of up to this many bytes are merged by scanning for the lowest rank; longer ones with a queue, and those
// beyond kPart in parts.
constexpr uint32_t kShort = 32;
constexpr size_t kPart = 1024;

uint64_t PairOf(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << kIdBits | static_cast<uint32_t>(right);
}

}  // namespace

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges,
         absl::flat_hash_map<std::string, int32_t> whole_pieces)
    : byte_ids_(byte_ids), whole_pieces_(std::move(whole_pieces)) {
  RADLADS_CHECK(merges.size() <= kMaxMerges) << merges.size() << " merges";
  size_t places = 16;
  pair_shift_ = 60;
  while (places < 2 * merges.size()) {
    places *= 2;
    --pair_shift_;
  }
  pairs_.assign(places, kEmpty);
  results_.reserve(merges.size());
  for (const BpeMerge& merge : merges) {
    RADLADS_CHECK(std::max({merge.left, merge.right, merge.result}) < kMaxId);
    const uint64_t pair = PairOf(merge.left, merge.right);
    size_t place = PlaceOf(pair);
    while (pairs_[place] != kEmpty && pairs_[place] >> kRankBits != pair) place = (place + 1) & (places - 1);
    pairs_[place] = pair << kRankBits | results_.size();
    results_.push_back(merge.result);
  }
  knows_all_bytes_ = *std::min_element(byte_ids.begin(), byte_ids.end()) >= 0;
  byte_ranks_.assign(1 << 16, kNoRank);
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      if (byte_ids[first] >= 0 && byte_ids[second] >= 0)
        byte_ranks_[first << 8 | second] = Rank(byte_ids[first], byte_ids[second]);
    }
  }
}

uint32_t Bpe::Rank(int32_t left, int32_t right) const {
  const uint64_t pair = PairOf(left, right);
  for (size_t place = PlaceOf(pair);; place = (place + 1) & (pairs_.size() - 1)) {
    if (pairs_[place] >> kRankBits == pair && pairs_[place] != kEmpty)
      return static_cast<uint32_t>(pairs_[place] & ((1 << kRankBits) - 1));
    if (pairs_[place] == kEmpty) return kNoRank;
  }
}

void Bpe::Encode(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const {
  if (!whole_pieces_.empty()) {
    const auto whole = whole_pieces_.find(absl::string_view(piece.data(), piece.size()));
    if (whole != whole_pieces_.end()) {
      ids->push_back(whole->second);
      return;
    }
  }
  if (!knows_all_bytes_) {
    scratch->known_.clear();
    for (const char byte : piece) {
      if (byte_ids_[static_cast<uint8_t>(byte)] >= 0) scratch->known_.push_back(byte);
    }
    piece = scratch->known_;
  }
  if (piece.size() > kPart) {
    EncodeLong(piece, scratch, ids);
  } else {
    Merge(piece, scratch);
    ids->insert(ids->end(), scratch->symbols_.begin(), scratch->symbols_.end());
  }
}

void Bpe::Merge(std::string_view piece, BpeScratch* scratch) const {
  scratch->symbols_.resize(piece.size());
  scratch->offsets_.resize(piece.size());
  for (size_t i = 0; i < piece.size(); ++i) scratch->symbols_[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  if (piece.size() <= kShort) {
    MergeShort(piece, scratch);
  } else {
    MergeWithQueue(piece, scratch);
  }
}

// In both, symbols are a list linked by position: where their first byte is, or was.

void Bpe::MergeShort(std::string_view piece, BpeScratch* scratch) const {
  int32_t* symbols = scratch->symbols_.data();
  const auto count = static_cast<uint32_t>(piece.size());
  // Of the pair that begins at a position: rank * kShort + position, so that the least one comes first.
  uint32_t order[kShort], previous[kShort], next[kShort];
  const auto order_of = [](uint32_t rank, uint32_t i) { return rank == kNoRank ? kNoRank : rank * kShort + i; };
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;
    next[i] = i + 1;
    order[i] = i + 1 < count ? order_of(ByteRank(piece[i], piece[i + 1]), i) : kNoRank;
  }
  while (true) {
    uint32_t best = kNoRank;
    for (uint32_t i = 0; i < count; i = next[i]) best = std::min(best, order[i]);
    if (best == kNoRank) break;
    const uint32_t i = best % kShort, gone = next[i], before = previous[i], behind = next[gone];
    symbols[i] = results_[best / kShort];
    order[gone] = order[i] = kNoRank;
    next[i] = behind;
    if (i > 0) __builtin_prefetch(&pairs_[PlaceOf(PairOf(symbols[before], symbols[i]))]);
    if (behind < count) {
      previous[behind] = i;
      order[i] = order_of(Rank(symbols[i], symbols[behind]), i);
    }
    if (i > 0) order[before] = order_of(Rank(symbols[before], symbols[i]), before);
  }
  Gather(next, scratch);
}

void Bpe::MergeWithQueue(std::string_view piece, BpeScratch* scratch) const {
  std::vector<int32_t>& symbols = scratch->symbols_;
  std::vector<uint32_t>& ranks = scratch->ranks_;  // of the pair that begins at a position
  std::vector<uint32_t>& previous = scratch->previous_;
  std::vector<uint32_t>& next = scratch->next_;
  std::vector<uint64_t>& queue = scratch->queue_;  // rank << 32 | position, least first
  const auto count = static_cast<uint32_t>(symbols.size());
  ranks.resize(count);
  previous.resize(count);
  next.resize(count);
  queue.clear();
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;  // wraps round at 0, which is tested before use
    next[i] = i + 1;
    ranks[i] = i + 1 < count ? ByteRank(piece[i], piece[i + 1]) : kNoRank;
    if (ranks[i] != kNoRank) queue.push_back(static_cast<uint64_t>(ranks[i]) << 32 | i);
  }
  const std::greater<uint64_t> later;
  std::make_heap(queue.begin(), queue.end(), later);
  const auto update = [&](uint32_t i) {
    ranks[i] = next[i] < count ? Rank(symbols[i], symbols[next[i]]) : kNoRank;
    if (ranks[i] == kNoRank) return;
    queue.push_back(static_cast<uint64_t>(ranks[i]) << 32 | i);
    std::push_heap(queue.begin(), queue.end(), later);
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const auto rank = static_cast<uint32_t>(queue.back() >> 32);
    const auto i = static_cast<uint32_t>(queue.back());
    queue.pop_back();
    if (ranks[i] != rank) continue;  // the pair has changed since
    const uint32_t gone = next[i];
    symbols[i] = results_[rank];
    ranks[gone] = kNoRank;
    next[i] = next[gone];
    if (next[i] < count) previous[next[i]] = i;
    if (i > 0) update(previous[i]);
    update(i);
  }
  Gather(next.data(), scratch);
}

void Bpe::Gather(const uint32_t* next, BpeScratch* scratch) {
  const size_t count = scratch->symbols_.size();
  size_t kept = 0;
  for (size_t i = 0; i < count; i = next[i], ++kept) {
    scratch->symbols_[kept] = scratch->symbols_[i];
    scratch->offsets_[kept] = static_cast<uint32_t>(i);
  }
  scratch->symbols_.resize(kept);
  scratch->offsets_.resize(kept);
}

// Ids of two texts, put together, are those of the joined text exactly if merging the two tokens at the seam, alone,
// gives these two tokens: as long as nothing merges across the seam, merges on both sides go on as they do apart, and
// the first one across it would happen between these two tokens alone just as well, in the same order. So a long piece
// is merged part by part, each beginning with the tokens of the last quarter of the one before, and every seam is
// checked. A vocabulary for which a seam does not hold gets larger parts.
void Bpe::EncodeLong(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const {
  const size_t begin = ids->size();
  for (size_t part_size = kPart; !EncodeInParts(piece, part_size, scratch, ids); part_size *= 4) ids->resize(begin);
}

bool Bpe::EncodeInParts(std::string_view piece, size_t part_size, BpeScratch* scratch,
                        std::vector<int32_t>* ids) const {
  const std::vector<int32_t>& symbols = scratch->symbols_;
  const std::vector<uint32_t>& offsets = scratch->offsets_;
  size_t last_start = 0;  // of the last token that is appended
  for (size_t start = 0;;) {
    const std::string_view part = piece.substr(start, part_size);
    const bool final = start + part.size() == piece.size();
    Merge(part, scratch);
    size_t kept = symbols.size();
    if (!final) {
      kept = static_cast<size_t>(std::lower_bound(offsets.begin(), offsets.end(), part_size / 4 * 3) - offsets.begin());
      kept = std::min(kept, symbols.size() - 1);
      if (kept == 0) return false;
    }
    const int32_t first = symbols[0];
    const size_t first_end = symbols.size() > 1 ? start + offsets[1] : piece.size();
    const size_t next_last_start = start + offsets[kept - 1], next_start = final ? 0 : start + offsets[kept];
    const int32_t before = start == 0 ? -1 : ids->back();
    ids->insert(ids->end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(kept));
    if (start > 0) {
      Merge(piece.substr(last_start, first_end - last_start), scratch);
      if (symbols.size() != 2 || symbols[0] != before || symbols[1] != first) return false;
    }
    if (final) return true;
    last_start = next_last_start;
    start = next_start;
  }
}

}  // namespace radlads
