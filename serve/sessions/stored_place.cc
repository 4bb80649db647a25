#include "serve/sessions/stored_place.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "serve/sessions/session_blob.h"

namespace radlads {

using sessions::SnapshotRecord;

absl::StatusOr<StoredPlace> FindPlace(SessionStore& store, StoredSession session, int last_snapshot, int64_t tokens) {
  StoredPlace place{.session = std::move(session)};
  for (int i = 0; i <= last_snapshot; ++i) {
    const SnapshotRecord& snapshot = place.session.record.snapshots(i);
    if (snapshot.bytes() == 0 || snapshot.read() > tokens) continue;
    if (snapshot.prefix_hash().size() != place.hash.size()) {
      return DataLoss("a snapshot of session '", place.session.record.id(), "' has no hash; delete the session");
    }
    place.snapshot = i;
    place.read = snapshot.read();
    std::copy(snapshot.prefix_hash().begin(), snapshot.prefix_hash().end(), place.hash.begin());
  }
  RADLADS_ASSIGN_OR_RETURN(place.unread, store.Tokens(place.session, place.read, tokens));
  return place;
}

absl::StatusOr<SnapshotPtr> LoadState(SessionStore& store, const StateLayout& layout, const StoredPlace& place) {
  auto snapshot = std::make_shared<Snapshot>();
  const auto read = [&](std::string_view bytes) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const SessionBlob blob, ParseBlob(bytes));
    RADLADS_ASSIGN_OR_RETURN(snapshot->state, layout.State(blob));
    snapshot->tokens = blob.read;
    if (blob.read != place.read) return DataLoss("it has read ", blob.read, " tokens, expected ", place.read);
    return absl::OkStatus();
  };
  const auto& record = place.session.record.snapshots(place.snapshot);
  const absl::Status status = store.ReadState(place.session, record.number(), read);
  if (status.ok()) return snapshot;
  return DataLoss("the state of snapshot ", SnapshotId(place.session.number, record), ": ", status.message(),
                  "; set the session '", place.session.record.id(), "' back to another snapshot, or delete it");
}

}  // namespace radlads
