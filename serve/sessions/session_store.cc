#include "serve/sessions/session_store.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <random>

#include "base/status.h"
#include "serve/sessions/session_database.h"

namespace radlads {

using sessions::ReplyRecord;
using sessions::SessionRecord;
using sessions::SnapshotRecord;

struct SessionStore::Entry {
  uint64_t number = 0;
  SessionRecord record;  // as on disk
  int64_t tokens = 0;
  std::optional<ReplyRecord> reply;
  bool leased = false;
  int64_t counted = 0;  // of it in bytes_
};

namespace {

constexpr int64_t kRecordBytes = 256, kSnapshotBytes = 48;  // about

int64_t StateBytes(const SessionRecord& record) {
  int64_t bytes = 0;
  for (const SnapshotRecord& snapshot : record.snapshots()) bytes += snapshot.bytes();
  return bytes;
}

absl::Status CheckId(std::string_view id) {
  const bool sound = !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (sound) return absl::OkStatus();
  return InvalidArgument("an id has 1 to 64 letters, digits, '_' or '-'; found one of ", id.size(), " bytes",
                         id.empty() || id.size() > 64 ? "" : " with others");
}

uint64_t RandomNumber() {
  static thread_local std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

std::string Hex(uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(number));
  return digits;
}

absl::Status NoSuchSession(std::string_view id) {
  return NotFound("there is no session '", id, "'; it was never made, was deleted, or expired");
}

void Drop(int index, uint64_t session, SessionRecord* record, SessionDatabase::Batch* batch) {
  const SnapshotRecord& snapshot = record->snapshots(index);
  if (snapshot.bytes() > 0) batch->DeleteState(session, snapshot.number());
  record->mutable_snapshots()->DeleteSubrange(index, 1);
}

// The oldest on the way first, then the oldest ends of messages; the last of each stays.
void DropToFit(int64_t limit, uint64_t session, SessionRecord* record, SessionDatabase::Batch* batch) {
  int64_t bytes = StateBytes(*record);
  for (const bool message : {false, true}) {
    int last = record->snapshots_size() - 1;
    while (message && last > 0 && !record->snapshots(last).message()) --last;
    for (int i = 0; i < last && bytes > limit;) {
      if (record->snapshots(i).message() != message) {
        ++i;
        continue;
      }
      bytes -= record->snapshots(i).bytes();
      Drop(i, session, record, batch);
      --last;
    }
  }
}

void AddSnapshot(const SessionStore::Place& place, uint64_t session, int64_t now, SessionRecord* record,
                 SessionDatabase::Batch* batch) {
  SnapshotRecord& snapshot = *record->add_snapshots();
  snapshot = place.record;
  snapshot.set_number(record->next_snapshot());
  snapshot.set_created(now);
  snapshot.set_bytes(static_cast<int64_t>(place.state.size()));
  record->set_next_snapshot(snapshot.number() + 1);
  record->set_used(now);
  if (!place.state.empty()) batch->PutState(session, snapshot.number(), place.state);
}

}  // namespace

std::string SnapshotId(uint64_t session, int64_t snapshot) {
  return Hex(session) + "-" + std::to_string(snapshot);
}

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
    Recount(entry.get());
  }
  return absl::OkStatus();
}

// What a killed process left: tokens that go on after the record, and snapshots of a prompt whose reply never began.
absl::Status SessionStore::Recover(Entry* entry) {
  if (entry->reply) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t more, database_->CountTokens(entry->number, entry->tokens));
    entry->tokens += more;
  }
  SessionDatabase::Batch batch(*database_);
  while (!entry->record.snapshots().empty() && entry->record.snapshots().rbegin()->tokens() > entry->tokens) {
    Drop(entry->record.snapshots_size() - 1, entry->number, &entry->record, &batch);
  }
  if (batch.empty()) return absl::OkStatus();
  batch.PutRecord(entry->number, entry->record);
  return database_->Write(batch, /*sync=*/false);
}

void SessionStore::Recount(Entry* entry) {
  const int64_t bytes =
      StateBytes(entry->record) + 4 * entry->tokens + kRecordBytes + kSnapshotBytes * entry->record.snapshots_size();
  bytes_ += bytes - std::exchange(entry->counted, bytes);
}

SessionStore::Lease::~Lease() {
  if (store_ == nullptr) return;
  std::lock_guard lock(store_->mutex_);
  entry_->leased = false;
}
uint64_t SessionStore::Lease::number() const {
  return entry_->number;
}

StoredSession SessionStore::Describe(const Entry& entry) const {
  return {.number = entry.number,
          .record = entry.record,
          .tokens = entry.tokens,
          .reply = entry.reply,
          .leased = entry.leased,
          .bytes = entry.counted};
}

absl::StatusOr<SessionStore::Entry*> SessionStore::FindEntry(std::string_view id) {
  RADLADS_RETURN_IF_ERROR(CheckId(id));
  const auto found = ids_.find(id);
  if (found == ids_.end()) return NoSuchSession(id);
  return found->second;
}

absl::StatusOr<SessionStore::Lease> SessionStore::Acquire(std::string_view id) {
  std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Entry* const entry, FindEntry(id));
  if (entry->leased) {
    return FailedPrecondition("session '", id,
                              "' is busy: a text goes on from its end, or it is being changed; wait "
                              "for it, cancel it, or fork the session at a snapshot");
  }
  entry->leased = true;
  return Lease(this, entry);
}

absl::StatusOr<StoredSession> SessionStore::Find(std::string_view id) {
  std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Entry* const entry, FindEntry(id));
  StoredSession session = Describe(*entry);
  session.view = database_->Look();
  return session;
}

StoredSession SessionStore::Find(const Lease& lease) {
  std::lock_guard lock(mutex_);
  StoredSession session = Describe(*lease.entry_);
  session.view = database_->Look();
  return session;
}

absl::StatusOr<std::pair<StoredSession, int>> SessionStore::FindSnapshot(std::string_view id) {
  RADLADS_RETURN_IF_ERROR(CheckId(id));
  uint64_t number = 0;
  int64_t snapshot = 0;
  const char *const middle = id.data() + 16, *const end = id.data() + id.size();
  const bool sound = id.size() > 17 && *middle == '-' && std::from_chars(id.data(), middle, number, 16).ptr == middle &&
                     std::from_chars(middle + 1, end, snapshot).ptr == end && snapshot >= 0 &&
                     SnapshotId(number, snapshot) == id;
  std::lock_guard lock(mutex_);
  const auto found = sound ? entries_.find(number) : entries_.end();
  if (found == entries_.end() || snapshot >= found->second->record.next_snapshot()) {
    return NotFound("there is no snapshot '", id, "'; its session was deleted or expired, or it was never made");
  }
  StoredSession session = Describe(*found->second);
  for (int i = 0; i < session.record.snapshots_size(); ++i) {
    if (session.record.snapshots(i).number() != snapshot) continue;
    session.view = database_->Look();
    return std::pair(std::move(session), i);
  }
  return absl::AbortedError(Concatenate("snapshot '", id, "' was dropped: its session was set back to before it, or ",
                                        "kept more than its bytes allow; take another of the session's snapshots"));
}

std::vector<StoredSession> SessionStore::List(std::string_view after, int64_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<StoredSession> list;
  for (auto at = ids_.upper_bound(after); at != ids_.end() && static_cast<int64_t>(list.size()) < limit; ++at) {
    list.push_back(Describe(*at->second));
  }
  return list;
}

absl::Status SessionStore::CheckRoom(bool for_a_new_session) {
  std::lock_guard lock(mutex_);
  return CheckRoomLocked(for_a_new_session);
}

absl::Status SessionStore::CheckRoomLocked(bool for_a_new_session) {
  if (for_a_new_session && static_cast<int64_t>(ids_.size()) >= options_.sessions) {
    return absl::ResourceExhaustedError(Concatenate("the store keeps ", ids_.size(), " sessions, as many as it may; ",
                                                    "delete some, or start the server with a larger limit"));
  }
  TrimToRoom();
  if (bytes_ >= options_.bytes) {
    return absl::ResourceExhaustedError(Concatenate("the store takes ", bytes_, " bytes, its limit is ", options_.bytes,
                                                    "; delete sessions, or start the server with a larger limit"));
  }
  return absl::OkStatus();
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
    SessionDatabase::Batch batch(*database_);
    SessionRecord record = entry->record;
    DropToFit(0, entry->number, &record, &batch);
    batch.PutRecord(entry->number, record);
    if (!database_->Write(batch, /*sync=*/false).ok()) return;  // whoever writes next is told
    entry->record = std::move(record);
    Recount(entry);
  }
}

absl::StatusOr<StoredSession> SessionStore::Insert(std::string_view id, int64_t ttl_seconds, const std::string& parent,
                                                   std::span<const int64_t> tokens, const Place* place) {
  auto entry = std::make_unique<Entry>();
  SessionRecord& record = entry->record;
  record.set_id(id.empty() ? Hex(RandomNumber()) + Hex(RandomNumber()) : std::string(id));
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
  SessionDatabase::Batch batch(*database_);
  batch.PutTokens(entry->number, 0, tokens);
  if (place != nullptr) AddSnapshot(*place, entry->number, Now(), &record, &batch);
  batch.PutRecord(entry->number, record);
  entry->leased = true;
  ids_[record.id()] = added;
  entries_[entry->number] = std::move(entry);
  lock.unlock();
  const absl::Status written = database_->Write(batch, options_.sync && place != nullptr);
  lock.lock();
  if (!written.ok()) {
    ids_.erase(added->record.id());
    entries_.erase(added->number);
    return written;
  }
  added->leased = false;
  Recount(added);
  StoredSession session = Describe(*added);
  session.view = database_->Look();
  return session;
}

absl::Status SessionStore::RemoveEntry(Entry* entry, std::unique_lock<std::mutex>* lock) {
  entry->leased = true;
  lock->unlock();
  SessionDatabase::Batch batch(*database_);
  batch.DeleteSession(entry->number, entry->record);
  const absl::Status written = database_->Write(batch, /*sync=*/false);
  lock->lock();
  entry->leased = false;
  if (!written.ok()) return written;
  bytes_ -= entry->counted;
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

absl::Status SessionStore::AppendTokens(std::span<const Append> appends) {
  SessionDatabase::Batch batch(*database_);
  for (const Append& append : appends) {
    const Entry& entry = *append.lease->entry_;
    if (append.begin) batch.PutReply(entry.number, *append.begin);
    batch.PutTokens(entry.number, entry.tokens, append.tokens);
  }
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, /*sync=*/false));
  std::lock_guard lock(mutex_);
  for (const Append& append : appends) {
    Entry& entry = *append.lease->entry_;
    if (append.begin) entry.reply = append.begin;
    entry.tokens += static_cast<int64_t>(append.tokens.size());
    Recount(&entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SessionStore::Commit(const Lease& lease, const Place& place) {
  Entry& entry = *lease.entry_;
  SessionDatabase::Batch batch(*database_);
  SessionRecord record = entry.record;
  AddSnapshot(place, entry.number, Now(), &record, &batch);
  const bool end = place.record.message();
  if (end) {
    record.set_tokens(entry.tokens);
    batch.DeleteReply(entry.number);
  }
  DropToFit(options_.session_bytes, entry.number, &record, &batch);
  batch.PutRecord(entry.number, record);
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, options_.sync && end));
  std::lock_guard lock(mutex_);
  const int64_t number = record.next_snapshot() - 1;
  entry.record = std::move(record);
  if (end) entry.reply.reset();
  Recount(&entry);
  TrimToRoom();
  return number;
}

absl::Status SessionStore::EndReply(const Lease& lease) {
  return Truncate(lease, lease.entry_->tokens);
}

absl::Status SessionStore::Truncate(const Lease& lease, int64_t tokens) {
  Entry& entry = *lease.entry_;
  RADLADS_CHECK(tokens >= 0 && tokens <= entry.tokens) << tokens << " of " << entry.tokens << " tokens";
  SessionDatabase::Batch batch(*database_);
  SessionRecord record = entry.record;
  while (!record.snapshots().empty() && record.snapshots().rbegin()->tokens() > tokens) {
    Drop(record.snapshots_size() - 1, entry.number, &record, &batch);
  }
  record.set_tokens(tokens);
  record.set_used(Now());
  batch.DeleteReply(entry.number);
  batch.Truncate(entry.number, tokens, entry.tokens);
  batch.PutRecord(entry.number, record);
  RADLADS_RETURN_IF_ERROR(database_->Write(batch, options_.sync));
  std::lock_guard lock(mutex_);
  entry.record = std::move(record);
  entry.tokens = tokens;
  entry.reply.reset();
  Recount(&entry);
  return absl::OkStatus();
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
