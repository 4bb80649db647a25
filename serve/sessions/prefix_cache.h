// States in memory by the text that they have read, so that what many texts begin with is computed once.
#ifndef RADLADS_SERVE_SESSIONS_PREFIX_CACHE_H_
#define RADLADS_SERVE_SESSIONS_PREFIX_CACHE_H_

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <unordered_map>

#include "absl/status/status.h"
#include "serve/engine/engine.h"
#include "serve/sessions/prefix_hash.h"

namespace radlads {

struct PrefixCacheStats {
  int64_t entries = 0, bytes = 0;
};

// Thread-safe. The least recently used states go first.
class PrefixCache {
 public:
  // `bytes` of states. 0: nothing is kept.
  explicit PrefixCache(int64_t bytes) : limit_(bytes) {}

  struct Match {
    SnapshotPtr snapshot;  // null: none
    int64_t place = 0;     // of its hash, in `hashes`
    // Place up to which another text was looked up that begins as this one does: a state there will be asked for again.
    // 0: none.
    int64_t shared = 0;
  };
  // The longest match for a text with `hashes` (prefix_hash.h) at places that follow each other, the first of them at
  // `position` of the text, the last at its end: there, where no token is left to read, only a snapshot with logits.
  Match Find(std::span<const PrefixHash> hashes, int64_t position);
  // `hash` is that of the tokens that the snapshot's state has read.
  void Put(const PrefixHash& hash, SnapshotPtr snapshot);
  // The same; never goes. RESOURCE_EXHAUSTED where it does not fit with the others that never go.
  absl::Status Pin(const PrefixHash& hash, SnapshotPtr snapshot);

  PrefixCacheStats stats() const;

 private:
  struct Entry {
    PrefixHash hash;
    SnapshotPtr snapshot;
    int64_t bytes;
    bool pinned;
  };
  void PutLocked(const PrefixHash& hash, SnapshotPtr snapshot, bool pinned);

  const int64_t limit_;
  mutable std::mutex mutex_;  // guards what follows
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<PrefixHash, std::list<Entry>::iterator, HashOfPrefixHash> by_hash_;
  int64_t bytes_ = 0, pinned_bytes_ = 0;
  // Texts that were looked up, at every kStride-th token: the last used first.
  std::list<PrefixHash> seen_;
  std::unordered_map<PrefixHash, std::list<PrefixHash>::iterator, HashOfPrefixHash> seen_by_hash_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_PREFIX_CACHE_H_
