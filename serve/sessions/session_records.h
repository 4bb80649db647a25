// Ids of sessions and snapshots, and which snapshots a session keeps. Private to the store.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_RECORDS_H_
#define RADLADS_SERVE_SESSIONS_SESSION_RECORDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "serve/sessions/session_database.h"
#include "serve/sessions/session_record.pb.h"
#include "serve/sessions/session_store.h"

namespace radlads {

// INVALID_ARGUMENT unless it is 1 to 64 of [A-Za-z0-9_-].
absl::Status CheckId(std::string_view id);
uint64_t RandomNumber();
// 16 hexadecimal digits.
std::string HexNumber(uint64_t number);
// What SnapshotId makes, in its parts.
std::optional<std::pair<uint64_t, int64_t>> ParseSnapshotId(std::string_view id);

// Of all states.
int64_t StateBytes(const sessions::SessionRecord& record);
// Adds `place`, with a number, the time and the bytes of its state (empty: none), to the record and the batch.
void AddSnapshot(const sessions::SnapshotRecord& place, std::string_view state, uint64_t session, int64_t now,
                 sessions::SessionRecord* record, SessionDatabase::Batch* batch);
// Takes the index-th out of both.
void Drop(int index, uint64_t session, sessions::SessionRecord* record, SessionDatabase::Batch* batch);
// Drops until the states have at most `limit` bytes: the oldest on the way first, then the oldest ends of messages; the
// last of each stays.
void DropToFit(int64_t limit, uint64_t session, sessions::SessionRecord* record, SessionDatabase::Batch* batch);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_RECORDS_H_
