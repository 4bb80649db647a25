// What the holder of a lease does to a session.
#include <utility>

#include "base/status.h"
#include "serve/sessions/session_database.h"
#include "serve/sessions/session_records.h"
#include "serve/sessions/session_store.h"

namespace radlads {

using Purpose = SessionDatabase::Purpose;
using sessions::SessionRecord;

SessionStore::Lease::~Lease() {
  if (store_ == nullptr) return;
  std::lock_guard lock(store_->mutex_);
  entry_->leased = false;
}
uint64_t SessionStore::Lease::number() const {
  return entry_->number;
}

absl::Status SessionStore::AppendTokens(std::span<const Append> appends) {
  SessionDatabase::Batch batch;
  for (const Append& append : appends) {
    const Entry& entry = *append.lease->entry_;
    if (append.begin) batch.PutReply(entry.number, *append.begin);
    batch.PutTokens(entry.number, entry.tokens, append.tokens);
  }
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, /*sync=*/false, Purpose::kKeep));
  std::lock_guard lock(mutex_);
  for (const Append& append : appends) {
    Entry& entry = *append.lease->entry_;
    if (append.begin) entry.reply = append.begin;
    entry.tokens += static_cast<int64_t>(append.tokens.size());
    Recount(&entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SessionStore::Commit(const Lease& lease, const Place& place) {
  Entry& entry = *lease.entry_;
  SessionDatabase::Batch batch;
  SessionRecord record = entry.record;
  AddSnapshot(place.record, place.state, entry.number, Now(), &record, &batch);
  const bool end = place.record.message();
  if (end) {
    record.set_tokens(entry.tokens);
    batch.DeleteReply(entry.number);
  }
  DropToFit(options_.session_bytes, entry.number, &record, &batch);
  batch.PutRecord(entry.number, record);
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, options_.sync && end, Purpose::kKeep));
  std::lock_guard lock(mutex_);
  const std::string id = SnapshotId(entry.number, record.snapshots(record.snapshots_size() - 1));
  if (end) entry.reply.reset();
  SetRecord(&entry, std::move(record));
  TrimToRoom();
  return id;
}

absl::Status SessionStore::EndReply(const Lease& lease) {
  return Truncate(lease, lease.entry_->tokens);
}

absl::Status SessionStore::Truncate(const Lease& lease, int64_t tokens) {
  Entry& entry = *lease.entry_;
  RADLADS_CHECK(tokens >= 0 && tokens <= entry.tokens) << tokens << " of " << entry.tokens << " tokens";
  SessionDatabase::Batch batch;
  SessionRecord record = entry.record;
  while (!record.snapshots().empty() && record.snapshots().rbegin()->tokens() > tokens) {
    Drop(record.snapshots_size() - 1, entry.number, &record, &batch);
  }
  record.set_tokens(tokens);
  record.set_used(Now());
  batch.DeleteReply(entry.number);
  batch.Truncate(entry.number, tokens, entry.tokens);
  batch.PutRecord(entry.number, record);
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, options_.sync, Purpose::kFree));
  std::lock_guard lock(mutex_);
  entry.tokens = tokens;
  entry.reply.reset();
  entry.taken_back.reset();
  SetRecord(&entry, std::move(record));
  return absl::OkStatus();
}

absl::Status SessionStore::TakeBack(const Lease& lease, int64_t tokens) {
  const absl::Status done = Truncate(lease, tokens);
  if (!done.ok()) lease.entry_->taken_back = tokens;
  return done;
}

}  // namespace radlads
