#include "serve/sessions/session_store.h"

#include <algorithm>
#include <chrono>

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/sessions/session_database.h"
#include "serve/sessions/session_records.h"

namespace radlads {

using Purpose = SessionDatabase::Purpose;
using sessions::ReplyRecord;
using sessions::SessionRecord;

absl::Status SessionStoreOptions::Check() const {
  if (sessions < 1) return InvalidArgument("the store must keep at least 1 session, found ", sessions);
  if (bytes < 1) return InvalidArgument("the store must keep at least 1 byte, found ", bytes);
  if (session_bytes < 0) return InvalidArgument("session_bytes must be 0 or more, found ", session_bytes);
  if (ttl_seconds < 0) return InvalidArgument("ttl_seconds must be 0 (for ever) or more, found ", ttl_seconds);
  return absl::OkStatus();
}

SessionStore::SessionStore(std::unique_ptr<SessionDatabase> database, const SessionStoreOptions& options)
    : database_(std::move(database)), options_(options) {}
SessionStore::~SessionStore() = default;

absl::StatusOr<std::unique_ptr<SessionStore>> SessionStore::Open(const std::string& directory,
                                                                 const std::string& model_hash,
                                                                 const std::string& model_name,
                                                                 const SessionStoreOptions& options) {
  RADLADS_RETURN_IF_ERROR(options.Check());
  RADLADS_ASSIGN_OR_RETURN(auto database, SessionDatabase::Open(directory, model_hash, model_name, options.env));
  std::unique_ptr<SessionStore> store(new SessionStore(std::move(database), options));
  RADLADS_RETURN_IF_ERROR(store->Load());
  return store;
}

absl::Status SessionStore::Load() {
  const auto on_record = [&](uint64_t number, SessionRecord record) {
    auto entry = std::make_unique<Entry>();
    entry->number = number;
    entry->tokens = record.tokens();
    entry->record = std::move(record);
    ids_[entry->record.id()] = entry.get();
    entries_[number] = std::move(entry);
  };
  const auto on_reply = [&](uint64_t number, const ReplyRecord& reply) {
    const auto found = entries_.find(number);
    if (found != entries_.end()) found->second->reply = reply;
  };
  RADLADS_RETURN_IF_ERROR(database_->ForEach(on_record, on_reply));
  for (const auto& [number, entry] : entries_) {
    RADLADS_RETURN_IF_ERROR(Recover(entry.get()));
    SetRecord(entry.get(), entry->record);
  }
  return absl::OkStatus();
}

// What a killed process left: tokens that go on after the record, and snapshots of a prompt whose reply never began.
absl::Status SessionStore::Recover(Entry* entry) {
  if (entry->reply) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t more, database_->CountTokens(entry->number, entry->tokens));
    entry->tokens += more;
  }
  SessionDatabase::Batch batch;
  while (!entry->record.snapshots().empty() && entry->record.snapshots().rbegin()->tokens() > entry->tokens) {
    Drop(entry->record.snapshots_size() - 1, entry->number, &entry->record, &batch);
  }
  if (batch.empty()) return absl::OkStatus();
  batch.PutRecord(entry->number, entry->record);
  const absl::Status written = database_->Write(batch, /*sync=*/false, Purpose::kFree);
  // On a full disk the session is read as it is to be, and written so by the next start or the next message.
  return IsNoRoom(written) ? absl::OkStatus() : written;
}

absl::StatusOr<SessionStore::Lease> SessionStore::Acquire(std::string_view id) {
  std::unique_lock lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Entry* const entry, FindEntry(id));
  if (entry->leased) {
    return FailedPrecondition("session '", id,
                              "' is busy: a text goes on from its end, or it is being changed; wait "
                              "for it, cancel it, or fork the session at a snapshot");
  }
  entry->leased = true;
  Lease lease(this, entry);
  lock.unlock();
  if (entry->taken_back) RADLADS_RETURN_IF_ERROR(Truncate(lease, *entry->taken_back));
  return lease;
}

absl::Status SessionStore::CheckRoom(bool for_a_new_session) {
  std::lock_guard lock(mutex_);
  return CheckRoomLocked(for_a_new_session);
}

absl::Status SessionStore::CheckRoomLocked(bool for_a_new_session) {
  if (for_a_new_session && static_cast<int64_t>(ids_.size()) >= options_.sessions) {
    return NoRoom(Concatenate("the store keeps ", ids_.size(),
                              " sessions, as many as it may; delete some, or start the ",
                              "server with a larger limit"));
  }
  TrimToRoom();
  if (bytes_ >= options_.bytes) {
    return NoRoom(Concatenate("the store takes ", bytes_, " bytes, its limit is ", options_.bytes,
                              "; delete sessions, or start the server with a larger limit"));
  }
  return database_->CheckRoom();
}

// Sessions that were used least recently keep only their end.
void SessionStore::TrimToRoom() {
  if (bytes_ < options_.bytes) return;
  std::vector<Entry*> oldest;
  for (const auto& [number, entry] : entries_) {
    if (!entry->leased && entry->record.snapshots_size() > 1) oldest.push_back(entry.get());
  }
  std::sort(oldest.begin(), oldest.end(),
            [](const Entry* a, const Entry* b) { return a->record.used() < b->record.used(); });
  for (Entry* entry : oldest) {
    if (bytes_ < options_.bytes) return;
    SessionDatabase::Batch batch;
    SessionRecord record = entry->record;
    DropToFit(0, entry->number, &record, &batch);
    batch.PutRecord(entry->number, record);
    if (!database_->Write(batch, /*sync=*/false, Purpose::kFree).ok()) return;  // whoever writes next is told
    SetRecord(entry, std::move(record));
  }
}

absl::StatusOr<StoredSession> SessionStore::Insert(std::string_view id, int64_t ttl_seconds, const std::string& parent,
                                                   std::span<const int64_t> tokens, const Place* place) {
  auto entry = std::make_unique<Entry>();
  SessionRecord& record = entry->record;
  record.set_id(id.empty() ? HexNumber(RandomNumber()) + HexNumber(RandomNumber()) : std::string(id));
  RADLADS_RETURN_IF_ERROR(CheckId(record.id()));
  if (ttl_seconds < 0) return InvalidArgument("ttl_seconds must be 0 or more, found ", ttl_seconds);
  record.set_created(Now());
  record.set_used(Now());
  record.set_ttl(ttl_seconds > 0 ? ttl_seconds : options_.ttl_seconds);
  record.set_parent(parent);
  record.set_tokens(static_cast<int64_t>(tokens.size()));
  entry->tokens = record.tokens();
  Entry* const added = entry.get();
  std::unique_lock lock(mutex_);
  RADLADS_RETURN_IF_ERROR(CheckRoomLocked(/*for_a_new_session=*/true));
  if (ids_.contains(record.id())) {
    return absl::AlreadyExistsError(
        Concatenate("session '", id, "' exists; choose another id, or go on with that one"));
  }
  do entry->number = RandomNumber();
  while (entries_.contains(entry->number));
  SessionDatabase::Batch batch;
  batch.PutTokens(entry->number, 0, tokens);
  if (place != nullptr) AddSnapshot(place->record, place->state, entry->number, Now(), &record, &batch);
  batch.PutRecord(entry->number, record);
  entry->leased = true;
  ids_[record.id()] = added;
  entries_[entry->number] = std::move(entry);
  lock.unlock();
  const absl::Status written = database_->Write(batch, options_.sync && place != nullptr, Purpose::kKeep);
  lock.lock();
  if (!written.ok()) {
    ids_.erase(added->record.id());
    entries_.erase(added->number);
    return written;
  }
  added->leased = false;
  SetRecord(added, added->record);
  StoredSession session = Describe(*added);
  session.view = database_->Look();
  return session;
}

absl::Status SessionStore::RemoveEntry(Entry* entry, std::unique_lock<std::mutex>* lock) {
  entry->leased = true;
  lock->unlock();
  SessionDatabase::Batch batch;
  batch.DeleteSession(entry->number, entry->record);
  const absl::Status written = database_->Write(batch, /*sync=*/false, Purpose::kFree);
  if (written.ok()) database_->TidyUpIfFull();
  lock->lock();
  entry->leased = false;
  if (!written.ok()) return written;
  bytes_ -= entry->counted;
  DropFromIndex(entry);
  ids_.erase(entry->record.id());
  entries_.erase(entry->number);
  return absl::OkStatus();
}

absl::Status SessionStore::Remove(std::string_view id) {
  std::unique_lock lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Entry* const entry, FindEntry(id));
  if (entry->leased) {
    return FailedPrecondition("session '", id, "' is busy; cancel the text that goes on from it, then delete it");
  }
  return RemoveEntry(entry, &lock);
}

absl::StatusOr<int64_t> SessionStore::Expire() {
  std::unique_lock lock(mutex_);
  std::vector<uint64_t> expired;
  for (const auto& [number, entry] : entries_) {
    if (entry->record.ttl() > 0 && entry->record.used() + entry->record.ttl() <= Now()) expired.push_back(number);
  }
  int64_t removed = 0;
  for (const uint64_t number : expired) {
    const auto found = entries_.find(number);
    if (found == entries_.end() || found->second->leased) continue;
    RADLADS_RETURN_IF_ERROR(RemoveEntry(found->second.get(), &lock));
    ++removed;
  }
  return removed;
}

absl::StatusOr<std::vector<int64_t>> SessionStore::Tokens(const StoredSession& session, int64_t first, int64_t last) {
  return database_->Tokens(session.number, first, last, session.view);
}

absl::Status SessionStore::ReadState(const StoredSession& session, int64_t snapshot,
                                     const std::function<absl::Status(std::string_view)>& read) {
  return database_->ReadState(session.number, snapshot, session.view, read);
}

int64_t SessionStore::sessions() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(ids_.size());
}
int64_t SessionStore::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

int64_t SessionStore::Now() const {
  if (options_.clock) return options_.clock();
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace radlads
