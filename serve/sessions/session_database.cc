#include "serve/sessions/session_database.h"

#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/status.h"
#include "serve/error_code.h"
#include "serve/sessions/token_log.h"

namespace radlads {
namespace {

constexpr char kVersion[] = "1";
constexpr int64_t kChunk = 1024;  // tokens of a key

std::string BigEndian(uint64_t number) {
  std::string key(8, '\0');
  for (int i = 7; i >= 0; --i, number >>= 8) key[i] = static_cast<char>(number & 255);
  return key;
}
uint64_t FromBigEndian(rocksdb::Slice key) {
  uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | static_cast<uint8_t>(key[i]);
  return number;
}
std::string NumberedKey(uint64_t session, int64_t number) {
  return BigEndian(session) + BigEndian(number);
}
std::string ReplyKey(uint64_t session) {
  return BigEndian(session) + 'r';
}

bool IsFull(const rocksdb::Status& status) {
  return status.IsNoSpace() || status.ToString().find(std::strerror(EDQUOT)) != std::string::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionDatabase>> SessionDatabase::Open(const std::string& directory,
                                                                       const std::string& model_hash,
                                                                       const std::string& model_name,
                                                                       rocksdb::Env* env) {
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  std::unique_ptr<SessionDatabase> database(new SessionDatabase(directory, env));
  const absl::Status to_write = database->OpenToWrite();
  if (!to_write.ok()) {
    if (!IsNoRoom(to_write)) return to_write;
    const rocksdb::Status to_read = OpenedDatabase::ToRead(directory, env, &database->opened_);
    // One that was never whole has nothing to read.
    if (to_read.IsInvalidArgument() || to_read.IsPathNotFound() || to_read.IsNotFound()) return to_write;
    RADLADS_RETURN_IF_ERROR(database->FromRocksDb(to_read));
    Log().warn("{}. The sessions that are there are read, and nothing is kept", std::string(to_write.message()));
    database->told_full_ = true;
  }
  RADLADS_RETURN_IF_ERROR(database->CheckIdentity(model_hash, model_name));
  return database;
}

SessionDatabase::~SessionDatabase() = default;

absl::StatusOr<SessionDatabase::Pin> SessionDatabase::Opened() const {
  std::lock_guard lock(mutex_);
  if (opened_ != nullptr) return opened_;
  return absl::UnavailableError(
      Concatenate("the session store ", directory_, " could not be opened again after an error; the log says why"));
}

absl::Status SessionDatabase::CheckRoomToOpen() const {
  const DiskRoom room = RoomOn(directory_);
  if (room.free < room.to_open()) {
    return NoRoom(Concatenate("the disk of the session store ", directory_, " has ", SpellBytes(room.free),
                              " free, and nothing is written with less than ", SpellBytes(room.to_open()),
                              "; make room on it"));
  }
  return absl::OkStatus();
}

absl::Status SessionDatabase::OpenToWrite() {
  RADLADS_RETURN_IF_ERROR(CheckRoomToOpen());
  return FromRocksDb(OpenedDatabase::ToWrite(directory_, env_, compact_, &opened_));
}

// What has stopped is closed first: so nobody may read it then.
absl::Status SessionDatabase::OpenAgain() {
  constexpr auto kPatience = std::chrono::seconds(5);
  const auto begun = std::chrono::steady_clock::now();
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    std::lock_guard lock(mutex_);
    if (opened_ != nullptr && opened_->writable()) return absl::OkStatus();
    RADLADS_RETURN_IF_ERROR(CheckRoomToOpen());
    if (opened_ != nullptr && opened_.use_count() > 1) {
      if (std::chrono::steady_clock::now() - begun < kPatience) continue;
      return absl::UnavailableError(Concatenate("the session store ", directory_,
                                                " is read without a pause, and waits to ",
                                                "be opened again after an error; try again"));
    }
    const Pin read = opened_ != nullptr && opened_->read_only() ? std::move(opened_) : nullptr;
    if (read != nullptr) read->Unlock();
    if (opened_ != nullptr) compact_ = opened_->compacts() && !opened_->compaction_failed();
    opened_.reset();
    const absl::Status opened = OpenToWrite();
    if (opened.ok()) {
      Log().info("the session store {} is open for writing again", directory_);
      return opened;
    }
    rocksdb::Status back;
    if (read != nullptr) {
      opened_ = read;
      back = read->Lock();
    } else {
      back = OpenedDatabase::ToRead(directory_, env_, &opened_);
    }
    if (!back.ok()) Log().error("the session store {} cannot be read any more: {}", directory_, back.ToString());
    return opened;
  }
}

absl::StatusOr<SessionDatabase::Pin> SessionDatabase::OpenedToWrite() {
  {
    auto opened = Opened();
    if (opened.ok() && (*opened)->writable()) return opened;
  }  // held no more, so that it can be closed
  RADLADS_RETURN_IF_ERROR(OpenAgain());
  return Opened();
}

absl::Status SessionDatabase::CheckRoom(const DiskRoom& room, int64_t needed) {
  if (room.free >= needed) {
    // Not at every file that comes and goes.
    if (room.free > 2 * room.reserve && told_full_.exchange(false)) {
      Log().info("there is room again on the disk of the session store {}", directory_);
    }
    return absl::OkStatus();
  }
  const std::string what = Concatenate(
      "the disk of the session store ", directory_, " has ", SpellBytes(room.free), " free, of which ",
      SpellBytes(room.reserve), " stay in reserve, so nothing more is kept; make room on it, or delete sessions");
  if (!told_full_.exchange(true)) Log().warn("{}. What keeps nothing is answered as ever", what);
  return NoRoom(what);
}

absl::Status SessionDatabase::CheckRoom() {
  const DiskRoom room = RoomOn(directory_);
  return CheckRoom(room, room.reserve);
}

absl::Status SessionDatabase::CheckIdentity(const std::string& model_hash, const std::string& model_name) {
  const auto get = [&](const char* key) {
    std::string value;
    const Pin opened = opened_;
    const rocksdb::Status status = (*opened)->Get(rocksdb::ReadOptions(), opened->of(Family::kIdentity), key, &value);
    return status.ok() ? value : "";
  };
  const std::string version = get("version"), hash = get("model_hash");
  if (version.empty()) {
    Batch batch;
    batch.Add({Batch::Change::kPut, Family::kIdentity, "version", kVersion});
    batch.Add({Batch::Change::kPut, Family::kIdentity, "model_hash", model_hash});
    batch.Add({Batch::Change::kPut, Family::kIdentity, "model_name", model_name});
    return Write(batch, /*sync=*/true, Purpose::kKeep);
  }
  if (version != kVersion) {
    return FailedPrecondition(directory_, " is a session store of version '", version, "', expected ", kVersion,
                              "; use the radlads that wrote it, or name a new folder");
  }
  if (hash != model_hash) {
    return FailedPrecondition("the sessions in ", directory_, " are of the model '", get("model_name"), "' (hash ",
                              hash, "), not of '", model_name, "' (hash ", model_hash,
                              "): states do not fit other weights or another precision; serve that model, or name "
                              "another folder for this one");
  }
  return absl::OkStatus();
}

absl::Status SessionDatabase::FromRocksDb(const rocksdb::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  if (IsFull(status)) {
    return NoRoom(Concatenate("the disk of the session store ", directory_, " is full: ", status.ToString(),
                              "; make room on it"));
  }
  if (status.IsIOError() && status.ToString().find("LOCK") != std::string::npos) {
    return FailedPrecondition("the session store ", directory_, " is in use by another process: ", status.ToString(),
                              "; end it, or name another folder");
  }
  if (status.IsCorruption()) {
    return DataLoss("the session store ", directory_, " is damaged: ", status.ToString(),
                    "; restore the folder from a copy, or remove it and begin anew");
  }
  return absl::UnavailableError(Concatenate("the session store ", directory_, ": ", status.ToString()));
}

void SessionDatabase::Batch::Add(Change change) {
  bytes_ += static_cast<int64_t>(change.key.size() + change.value.size()) + 32;
  changes_.push_back(std::move(change));
}

void SessionDatabase::Batch::PutRecord(uint64_t session, const sessions::SessionRecord& record) {
  Add({Change::kPut, Family::kRecords, BigEndian(session), record.SerializeAsString()});
}
void SessionDatabase::Batch::PutReply(uint64_t session, const sessions::ReplyRecord& reply) {
  Add({Change::kPut, Family::kRecords, ReplyKey(session), reply.SerializeAsString()});
}
void SessionDatabase::Batch::DeleteReply(uint64_t session) {
  Add({Change::kDelete, Family::kRecords, ReplyKey(session), ""});
}

void SessionDatabase::Batch::PutTokens(uint64_t session, int64_t first, std::span<const int64_t> tokens) {
  while (!tokens.empty()) {
    const int64_t place = first % kChunk;
    const auto piece = tokens.first(std::min<size_t>(tokens.size(), kChunk - place));
    // A chunk begins with a value of its own, so that RocksDB can join what follows when it sorts.
    Add({place == 0 ? Change::kPut : Change::kMerge, Family::kTokens, NumberedKey(session, first / kChunk),
         TokenLog::Value(place, piece)});
    tokens = tokens.subspan(piece.size());
    first += static_cast<int64_t>(piece.size());
  }
}

void SessionDatabase::Batch::Truncate(uint64_t session, int64_t tokens, int64_t had) {
  if (had <= tokens) return;
  const int64_t chunk = tokens / kChunk, place = tokens % kChunk;
  if (place > 0) Add({Change::kMerge, Family::kTokens, NumberedKey(session, chunk), TokenLog::Value(place, {})});
  const int64_t first = place > 0 ? chunk + 1 : chunk, last = (had - 1) / kChunk;
  if (first <= last) {
    Add({Change::kDeleteRange, Family::kTokens, NumberedKey(session, first), NumberedKey(session, last + 1)});
  }
}

void SessionDatabase::Batch::PutState(uint64_t session, int64_t snapshot, std::string_view state) {
  Add({Change::kPut, Family::kStates, NumberedKey(session, snapshot), std::string(state)});
}
void SessionDatabase::Batch::DeleteState(uint64_t session, int64_t snapshot) {
  Add({Change::kDelete, Family::kStates, NumberedKey(session, snapshot), ""});
}

void SessionDatabase::Batch::DeleteSession(uint64_t session, const sessions::SessionRecord& record) {
  Add({Change::kDelete, Family::kRecords, BigEndian(session), ""});
  DeleteReply(session);
  Add({Change::kDeleteRange, Family::kTokens, NumberedKey(session, 0), NumberedKey(session, INT64_MAX)});
  for (const sessions::SnapshotRecord& snapshot : record.snapshots()) {
    if (snapshot.bytes() > 0) DeleteState(session, snapshot.number());
  }
}

absl::Status SessionDatabase::Write(const Batch& batch, bool sync, Purpose purpose) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  rocksdb::Status status;
  // Once more after the database was opened again: it may have stopped while there was no room.
  for (int attempt = 0; attempt < 2; ++attempt) {
    RADLADS_ASSIGN_OR_RETURN(const Pin opened, OpenedToWrite());
    OpenedDatabase& database = *opened;
    const DiskRoom room = RoomOn(directory_);
    if (!database.compacts() && room.free > room.to_compact()) database.StartCompacting();
    // The log takes the bytes now, and sorting what is in it as many again before the log goes.
    const int64_t needed = 2 * batch.bytes_ + (purpose == Purpose::kKeep ? room.to_keep() : 0);
    const int64_t unsorted = database.unsorted();
    if (room.free < needed + unsorted && room.free > unsorted) (void)database.Sort();
    RADLADS_RETURN_IF_ERROR(CheckRoom(RoomOn(directory_), needed));
    rocksdb::WriteBatch writes;
    for (const Batch::Change& change : batch.changes_) {
      rocksdb::ColumnFamilyHandle* const family = database.of(change.family);
      switch (change.kind) {
        case Batch::Change::kPut:
          writes.Put(family, change.key, change.value);
          break;
        case Batch::Change::kMerge:
          writes.Merge(family, change.key, change.value);
          break;
        case Batch::Change::kDelete:
          writes.Delete(family, change.key);
          break;
        case Batch::Change::kDeleteRange:
          writes.DeleteRange(family, change.key, change.value);
          break;
      }
    }
    status = database->Write(options, &writes);
    if (status.ok() || database.writable()) break;
  }
  return FromRocksDb(status);
}

void SessionDatabase::TidyUpIfFull() {
  const DiskRoom room = RoomOn(directory_);
  if (room.free >= room.to_tidy()) return;
  const auto opened = Opened();
  if (!opened.ok() || !(*opened)->writable() || room.free <= (*opened)->unsorted()) return;
  const rocksdb::Status tidied = (*opened)->Tidy();
  if (!tidied.ok()) Log().warn("the session store {} could not be tidied up: {}", directory_, tidied.ToString());
}

SessionDatabase::View SessionDatabase::Look() {
  const auto opened = Opened();
  if (!opened.ok()) return nullptr;  // whoever reads is told
  return {(**opened)->GetSnapshot(), [pin = *opened](const rocksdb::Snapshot* view) { (*pin)->ReleaseSnapshot(view); }};
}

absl::StatusOr<std::vector<int64_t>> SessionDatabase::Tokens(uint64_t session, int64_t first, int64_t last,
                                                             const View& view) {
  std::vector<int64_t> tokens;
  if (first >= last) return tokens;
  tokens.reserve(last - first);
  rocksdb::ReadOptions options;
  options.snapshot = view.get();
  const std::string end = NumberedKey(session, (last - 1) / kChunk + 1);
  const rocksdb::Slice bound(end);
  options.iterate_upper_bound = &bound;
  RADLADS_ASSIGN_OR_RETURN(const Pin opened, Opened());
  const std::unique_ptr<rocksdb::Iterator> at((*opened)->NewIterator(options, opened->of(Family::kTokens)));
  int64_t chunk = first / kChunk;
  for (at->Seek(NumberedKey(session, chunk)); at->Valid(); at->Next(), ++chunk) {
    const rocksdb::Slice value = at->value();
    if (FromBigEndian({at->key().data() + 8, 8}) != static_cast<uint64_t>(chunk) || !TokenLog::IsSound(value) ||
        TokenLog::PlaceOf(value) != 0) {
      break;
    }
    const int64_t begin = chunk * kChunk, count = static_cast<int64_t>(value.size()) / 4 - 1;
    for (int64_t i = std::max<int64_t>(0, first - begin); i < count && begin + i < last; ++i) {
      uint32_t id = 0;
      std::memcpy(&id, value.data() + 4 + 4 * i, 4);
      tokens.push_back(id);
    }
    if (count < kChunk) break;
  }
  RADLADS_RETURN_IF_ERROR(FromRocksDb(at->status()));
  if (static_cast<int64_t>(tokens.size()) != last - first) {
    return DataLoss("the session store ", directory_, " has ", tokens.size(), " of the tokens ", first, " to ", last,
                    " of a session; delete it");
  }
  return tokens;
}

absl::StatusOr<int64_t> SessionDatabase::CountTokens(uint64_t session, int64_t first) {
  RADLADS_ASSIGN_OR_RETURN(const Pin opened, Opened());
  const std::unique_ptr<rocksdb::Iterator> at(
      (*opened)->NewIterator(rocksdb::ReadOptions(), opened->of(Family::kTokens)));
  int64_t chunk = first / kChunk, end = first;
  for (at->Seek(NumberedKey(session, chunk)); at->Valid() && at->key() == rocksdb::Slice(NumberedKey(session, chunk));
       at->Next(), ++chunk) {
    const int64_t count = static_cast<int64_t>(at->value().size()) / 4 - 1;
    end = std::max(end, chunk * kChunk + count);
    if (count < kChunk) break;
  }
  RADLADS_RETURN_IF_ERROR(FromRocksDb(at->status()));
  return end - first;
}

absl::Status SessionDatabase::ReadState(uint64_t session, int64_t snapshot, const View& view,
                                        const std::function<absl::Status(std::string_view)>& read) {
  rocksdb::ReadOptions options;
  options.snapshot = view.get();
  // A state has a checksum of its own (session_blob.h), which the processor computes; RocksDB's takes longer than
  // reading.
  options.verify_checksums = false;
  RADLADS_ASSIGN_OR_RETURN(const Pin opened, Opened());
  rocksdb::PinnableSlice state;
  const rocksdb::Status status =
      (*opened)->Get(options, opened->of(Family::kStates), NumberedKey(session, snapshot), &state);
  if (status.IsNotFound()) return NotFound("the state of snapshot ", snapshot, " is not in the session store");
  RADLADS_RETURN_IF_ERROR(FromRocksDb(status));
  return read({state.data(), state.size()});
}

absl::Status SessionDatabase::ForEach(const OnRecord& on_record, const OnReply& on_reply) {
  RADLADS_ASSIGN_OR_RETURN(const Pin opened, Opened());
  const std::unique_ptr<rocksdb::Iterator> at(
      (*opened)->NewIterator(rocksdb::ReadOptions(), opened->of(Family::kRecords)));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const rocksdb::Slice key = at->key(), value = at->value();
    sessions::SessionRecord record;
    sessions::ReplyRecord reply;
    const bool is_record = key.size() == 8, is_reply = key.size() == 9 && key[8] == 'r';
    if (is_record && record.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      on_record(FromBigEndian(key), std::move(record));
    } else if (is_reply && reply.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      on_reply(FromBigEndian(key), reply);
    } else {
      return DataLoss("the session store ", directory_, " has a record that cannot be read (key ", key.ToString(true),
                      "); restore the folder from a copy, or remove it and begin anew");
    }
  }
  return FromRocksDb(at->status());
}

}  // namespace radlads
