#include "data/tokenizer/bpe.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

namespace radlads {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ull;
// Pieces of up to this many bytes are merged by scanning for the lowest rank; longer ones with a
// heap.
constexpr size_t kShort = 40;

uint64_t PairOf(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = bytes.size() * kMultiplier;
  const char* data = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    uint64_t word = 0;
    const size_t step = std::min<size_t>(left, 8);
    std::memcpy(&word, data, step);
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
    data += step;
    left -= step;
  }
  return hash;
}

}  // namespace

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<BpeMerge>& merges,
         absl::flat_hash_map<std::string, int32_t> whole_pieces)
    : byte_ids_(byte_ids), whole_pieces_(std::move(whole_pieces)) {
  size_t places = 16;
  pair_shift_ = 60;
  while (places < 2 * merges.size()) {
    places *= 2;
    --pair_shift_;
  }
  pairs_.assign(places, {kNoPair, kNoRank});
  results_.reserve(merges.size());
  for (const BpeMerge& merge : merges) {
    const uint64_t pair = PairOf(merge.left, merge.right);
    size_t place = pair * kMultiplier >> pair_shift_;
    while (pairs_[place].pair != kNoPair && pairs_[place].pair != pair)
      place = (place + 1) & (places - 1);
    pairs_[place] = {pair, static_cast<uint32_t>(results_.size())};
    results_.push_back(merge.result);
  }
}

uint32_t Bpe::Rank(int32_t left, int32_t right) const {
  const uint64_t pair = PairOf(left, right);
  for (size_t place = pair * kMultiplier >> pair_shift_;;
       place = (place + 1) & (pairs_.size() - 1)) {
    if (pairs_[place].pair == pair) return pairs_[place].rank;
    if (pairs_[place].pair == kNoPair) return kNoRank;
  }
}

void Bpe::Encode(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const {
  if (piece.size() == 1) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(piece[0])];
    if (id >= 0) ids->push_back(id);
    return;
  }
  BpeScratch::CacheEntry* entry = nullptr;
  if (!scratch->cache_.empty() && piece.size() <= BpeScratch::kMaxKey) {
    entry = &scratch->cache_[HashBytes(piece) & (scratch->cache_.size() - 1)];
    if (entry->key_size == piece.size() &&
        std::memcmp(entry->key, piece.data(), piece.size()) == 0) {
      ids->insert(ids->end(), entry->ids, entry->ids + entry->ids_size);
      return;
    }
  }
  const auto whole = whole_pieces_.empty()
                         ? whole_pieces_.end()
                         : whole_pieces_.find(absl::string_view(piece.data(), piece.size()));
  if (whole != whole_pieces_.end()) {
    scratch->symbols_.assign(1, whole->second);
  } else {
    Merge(piece, scratch);
  }
  const std::vector<int32_t>& symbols = scratch->symbols_;
  ids->insert(ids->end(), symbols.begin(), symbols.end());
  if (entry != nullptr && symbols.size() <= BpeScratch::kMaxIds) {
    entry->key_size = static_cast<uint8_t>(piece.size());
    entry->ids_size = static_cast<uint8_t>(symbols.size());
    std::memcpy(entry->key, piece.data(), piece.size());
    std::copy(symbols.begin(), symbols.end(), entry->ids);
  }
}

void Bpe::Merge(std::string_view piece, BpeScratch* scratch) const {
  std::vector<int32_t>& symbols = scratch->symbols_;
  symbols.clear();
  for (const char byte : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
    if (id >= 0) symbols.push_back(id);
  }
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShort) {
    MergeShort(scratch);
  } else {
    MergeLong(scratch);
  }
}

void Bpe::MergeShort(BpeScratch* scratch) const {
  int32_t* symbols = scratch->symbols_.data();
  size_t count = scratch->symbols_.size();
  uint32_t ranks[kShort];  // ranks[i]: of the pair (i, i + 1)
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = Rank(symbols[i], symbols[i + 1]);
  while (count > 1) {
    const size_t best = static_cast<size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNoRank) break;
    symbols[best] = results_[ranks[best]];
    std::memmove(symbols + best + 1, symbols + best + 2, (count - best - 2) * sizeof(*symbols));
    if (best + 2 < count)
      std::memmove(ranks + best, ranks + best + 1, (count - best - 2) * sizeof(*ranks));
    --count;
    if (best > 0) ranks[best - 1] = Rank(symbols[best - 1], symbols[best]);
    if (best + 1 < count) ranks[best] = Rank(symbols[best], symbols[best + 1]);
  }
  scratch->symbols_.resize(count);
}

void Bpe::MergeLong(BpeScratch* scratch) const {
  std::vector<int32_t>& symbols = scratch->symbols_;
  std::vector<uint32_t>& ranks = scratch->ranks_;
  std::vector<uint32_t>& previous = scratch->previous_;
  std::vector<uint32_t>& next = scratch->next_;
  std::vector<uint64_t>& queue = scratch->queue_;  // rank << 32 | position, least first
  const auto count = static_cast<uint32_t>(symbols.size());
  ranks.assign(count, kNoRank);
  previous.resize(count);
  next.resize(count);
  queue.clear();
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;  // wraps round at 0, which is tested before use
    next[i] = i + 1;
    if (i + 1 < count) ranks[i] = Rank(symbols[i], symbols[i + 1]);
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
    symbols[gone] = -1;
    ranks[gone] = kNoRank;
    next[i] = next[gone];
    if (next[i] < count) previous[next[i]] = i;
    if (i > 0) update(previous[i]);
    update(i);
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), -1), symbols.end());
}

}  // namespace radlads
