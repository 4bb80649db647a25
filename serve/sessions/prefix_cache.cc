#include "serve/sessions/prefix_cache.h"

#include <iterator>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kStride = 16;       // tokens
constexpr size_t kSeen = 1 << 16;     // hashes: a million tokens
constexpr int64_t kEntryBytes = 256;  // about, beside the state

int64_t BytesOf(const Snapshot& snapshot) {
  return snapshot.state.ByteSize() + (snapshot.logits.defined() ? static_cast<int64_t>(snapshot.logits.nbytes()) : 0) +
         kEntryBytes;
}

}  // namespace

PrefixCache::Match PrefixCache::Find(std::span<const PrefixHash> hashes, int64_t position) {
  std::lock_guard lock(mutex_);
  Match match;
  const auto last = static_cast<int64_t>(hashes.size()) - 1;
  for (int64_t place = last; place >= 0 && match.snapshot == nullptr; --place) {
    const auto found = by_hash_.find(hashes[place]);
    if (found == by_hash_.end()) continue;
    if (place == last && !found->second->snapshot->logits.defined()) continue;
    match.snapshot = found->second->snapshot;
    match.place = place;
    entries_.splice(entries_.begin(), entries_, found->second);
  }
  if (limit_ == 0) return match;
  for (int64_t place = (kStride - position % kStride) % kStride; place < last; place += kStride) {
    const auto [found, added] = seen_by_hash_.try_emplace(hashes[place], seen_.begin());
    if (added) {
      seen_.push_front(hashes[place]);
      found->second = seen_.begin();
    } else {
      match.shared = place;
      seen_.splice(seen_.begin(), seen_, found->second);
    }
  }
  for (; seen_.size() > kSeen; seen_.pop_back()) seen_by_hash_.erase(seen_.back());
  return match;
}

void PrefixCache::Put(const PrefixHash& hash, SnapshotPtr snapshot) {
  std::lock_guard lock(mutex_);
  PutLocked(hash, std::move(snapshot), /*pinned=*/false);
}

absl::Status PrefixCache::Pin(const PrefixHash& hash, SnapshotPtr snapshot) {
  const int64_t bytes = BytesOf(*snapshot);
  std::lock_guard lock(mutex_);
  if (pinned_bytes_ + bytes > limit_) {
    return absl::ResourceExhaustedError(Concatenate("the state takes ", bytes, " bytes, beside ", pinned_bytes_,
                                                    " of others that are kept for good; ",
                                                    "the limit of states in memory is ", limit_, " bytes; raise it"));
  }
  PutLocked(hash, std::move(snapshot), /*pinned=*/true);
  return absl::OkStatus();
}

void PrefixCache::PutLocked(const PrefixHash& hash, SnapshotPtr snapshot, bool pinned) {
  if (BytesOf(*snapshot) > limit_) return;
  const auto [found, added] = by_hash_.try_emplace(hash);
  if (!added) {
    const Entry& old = *found->second;
    if (!snapshot->logits.defined()) snapshot = old.snapshot;  // the same state, perhaps with logits
    pinned |= old.pinned;
    bytes_ -= old.bytes;
    if (old.pinned) pinned_bytes_ -= old.bytes;
    entries_.erase(found->second);
  }
  const int64_t bytes = BytesOf(*snapshot);
  entries_.push_front({hash, std::move(snapshot), bytes, pinned});
  found->second = entries_.begin();
  bytes_ += bytes;
  if (pinned) pinned_bytes_ += bytes;
  while (bytes_ > limit_) {
    const auto last = std::prev(entries_.end());
    if (last->pinned) {
      entries_.splice(entries_.begin(), entries_, last);
      continue;
    }
    bytes_ -= last->bytes;
    by_hash_.erase(last->hash);
    entries_.erase(last);
  }
}

PrefixCacheStats PrefixCache::stats() const {
  std::lock_guard lock(mutex_);
  return {.entries = static_cast<int64_t>(entries_.size()), .bytes = bytes_};
}

}  // namespace radlads
