// Where a stored text is gone on from. Private to the session service.
#ifndef RADLADS_SERVE_SESSIONS_STORED_PLACE_H_
#define RADLADS_SERVE_SESSIONS_STORED_PLACE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "serve/engine/engine.h"
#include "serve/sessions/prefix_hash.h"
#include "serve/sessions/session_store.h"
#include "serve/sessions/state_layout.h"

namespace radlads {

// A text in the store, up to a place, and the last state in it that is stored.
struct StoredPlace {
  StoredSession session;
  int snapshot = -1;            // in the session's record; -1: none, the text is read from its beginning
  int64_t read = 0;             // by that state
  PrefixHash hash{};            // of what it has read
  std::vector<int64_t> unread;  // from there to the place
  int64_t end() const { return read + static_cast<int64_t>(unread.size()); }
};

// The place after `tokens` of the text; of snapshots, those up to `last_snapshot` count.
absl::StatusOr<StoredPlace> FindPlace(SessionStore& store, StoredSession session, int last_snapshot, int64_t tokens);

// The state of a place that has one, read from the store and checked. DATA_LOSS where it is damaged.
absl::StatusOr<SnapshotPtr> LoadState(SessionStore& store, const StateLayout& layout, const StoredPlace& place);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_STORED_PLACE_H_
