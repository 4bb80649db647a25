#include "serve/sessions/session_database.h"

#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/status.h"
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

// After an error RocksDB would look every five seconds whether there is room again; here the next write does.
class RecoveryByWrites : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
    *automatic = false;
  }
};

rocksdb::ColumnFamilyOptions SmallValues() {
  rocksdb::ColumnFamilyOptions options;
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 16 << 20;
  return options;
}

rocksdb::ColumnFamilyOptions TokenOptions() {
  rocksdb::ColumnFamilyOptions options = SmallValues();
  options.merge_operator = std::make_shared<TokenLog>();
  return options;
}

// States are large, never change and do not compress: they stay in files of their own (BlobDB) when keys are sorted.
// Those of old snapshots are dropped first, so that most files become garbage as a whole and are just deleted; only in
// the oldest tenth are states that live on moved out of the way of those that do not.
rocksdb::ColumnFamilyOptions StateOptions() {
  rocksdb::ColumnFamilyOptions options = SmallValues();
  options.write_buffer_size = 64 << 20;
  options.enable_blob_files = true;
  options.min_blob_size = 4096;
  options.enable_blob_garbage_collection = true;
  options.blob_garbage_collection_age_cutoff = 0.1;
  options.blob_garbage_collection_force_threshold = 0.5;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionDatabase>> SessionDatabase::Open(const std::string& directory,
                                                                       const std::string& model_hash,
                                                                       const std::string& model_name,
                                                                       rocksdb::Env* env) {
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  std::unique_ptr<SessionDatabase> database(new SessionDatabase(directory));
  rocksdb::DBOptions options;
  options.create_if_missing = options.create_missing_column_families = true;
  options.max_total_wal_size = 256 << 20;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.max_background_jobs = 2;
  options.listeners = {std::make_shared<RecoveryByWrites>()};
  if (env != nullptr) options.env = env;
  // Texts go first.
  options.env->LowerThreadPoolCPUPriority(rocksdb::Env::Priority::LOW);
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {{rocksdb::kDefaultColumnFamilyName, SmallValues()},
                                                           {"records", SmallValues()},
                                                           {"tokens", TokenOptions()},
                                                           {"states", StateOptions()}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory, families, &handles, &opened);
  if (status.IsIOError() && status.ToString().find("LOCK") != std::string::npos) {
    return FailedPrecondition("the session store ", directory, " is in use by another process: ", status.ToString(),
                              "; end it, or name another folder");
  }
  RADLADS_RETURN_IF_ERROR(database->FromRocksDb(status));
  database->database_.reset(opened);
  database->identity_ = handles[0];
  database->records_ = handles[1];
  database->tokens_ = handles[2];
  database->states_ = handles[3];
  RADLADS_RETURN_IF_ERROR(database->CheckIdentity(model_hash, model_name));
  return database;
}

SessionDatabase::~SessionDatabase() {
  if (database_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* family : {identity_, records_, tokens_, states_}) {
    database_->DestroyColumnFamilyHandle(family);
  }
}

absl::Status SessionDatabase::CheckIdentity(const std::string& model_hash, const std::string& model_name) {
  const auto get = [&](const char* key) {
    std::string value;
    const rocksdb::Status status = database_->Get(rocksdb::ReadOptions(), identity_, key, &value);
    return status.ok() ? value : "";
  };
  const std::string version = get("version"), hash = get("model_hash");
  if (version.empty()) {
    rocksdb::WriteBatch batch;
    batch.Put(identity_, "version", kVersion);
    batch.Put(identity_, "model_hash", model_hash);
    batch.Put(identity_, "model_name", model_name);
    rocksdb::WriteOptions options;
    options.sync = true;
    return FromRocksDb(database_->Write(options, &batch));
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
  if (status.IsNoSpace()) {
    return absl::ResourceExhaustedError(Concatenate("the disk of the session store ", directory_, " is full: ",
                                                    status.ToString(), "; make room, or delete sessions"));
  }
  if (status.IsCorruption()) {
    return DataLoss("the session store ", directory_, " is damaged: ", status.ToString(),
                    "; restore the folder from a copy, or remove it and begin anew");
  }
  return absl::UnavailableError(Concatenate("the session store ", directory_, ": ", status.ToString()));
}

void SessionDatabase::Batch::PutRecord(uint64_t session, const sessions::SessionRecord& record) {
  batch_.Put(database_.records_, BigEndian(session), record.SerializeAsString());
}
void SessionDatabase::Batch::PutReply(uint64_t session, const sessions::ReplyRecord& reply) {
  batch_.Put(database_.records_, ReplyKey(session), reply.SerializeAsString());
}
void SessionDatabase::Batch::DeleteReply(uint64_t session) {
  batch_.Delete(database_.records_, ReplyKey(session));
}

void SessionDatabase::Batch::PutTokens(uint64_t session, int64_t first, std::span<const int64_t> tokens) {
  while (!tokens.empty()) {
    const int64_t place = first % kChunk;
    const auto piece = tokens.first(std::min<size_t>(tokens.size(), kChunk - place));
    const std::string key = NumberedKey(session, first / kChunk), value = TokenLog::Value(place, piece);
    // A chunk begins with a value of its own, so that RocksDB can join what follows when it sorts.
    if (place == 0) {
      batch_.Put(database_.tokens_, key, value);
    } else {
      batch_.Merge(database_.tokens_, key, value);
    }
    tokens = tokens.subspan(piece.size());
    first += static_cast<int64_t>(piece.size());
  }
}

void SessionDatabase::Batch::Truncate(uint64_t session, int64_t tokens, int64_t had) {
  if (had <= tokens) return;
  const int64_t chunk = tokens / kChunk, place = tokens % kChunk;
  if (place > 0) batch_.Merge(database_.tokens_, NumberedKey(session, chunk), TokenLog::Value(place, {}));
  const int64_t first = place > 0 ? chunk + 1 : chunk, last = (had - 1) / kChunk;
  if (first <= last) {
    batch_.DeleteRange(database_.tokens_, NumberedKey(session, first), NumberedKey(session, last + 1));
  }
}

void SessionDatabase::Batch::PutState(uint64_t session, int64_t snapshot, std::string_view state) {
  batch_.Put(database_.states_, NumberedKey(session, snapshot), {state.data(), state.size()});
}
void SessionDatabase::Batch::DeleteState(uint64_t session, int64_t snapshot) {
  batch_.Delete(database_.states_, NumberedKey(session, snapshot));
}

void SessionDatabase::Batch::DeleteSession(uint64_t session, const sessions::SessionRecord& record) {
  batch_.Delete(database_.records_, BigEndian(session));
  DeleteReply(session);
  batch_.DeleteRange(database_.tokens_, NumberedKey(session, 0), NumberedKey(session, INT64_MAX));
  for (const sessions::SnapshotRecord& snapshot : record.snapshots()) {
    if (snapshot.bytes() > 0) DeleteState(session, snapshot.number());
  }
}

absl::Status SessionDatabase::Write(Batch& batch, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  rocksdb::Status status = database_->Write(options, &batch.batch_);
  // After an error of a disk that was full RocksDB writes nothing until it is told that there may be room again.
  if (status.severity() >= rocksdb::Status::Severity::kSoftError && database_->Resume().ok()) {
    status = database_->Write(options, &batch.batch_);
  }
  return FromRocksDb(status);
}

SessionDatabase::View SessionDatabase::Look() {
  return {database_->GetSnapshot(), [this](const rocksdb::Snapshot* view) { database_->ReleaseSnapshot(view); }};
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
  const std::unique_ptr<rocksdb::Iterator> at(database_->NewIterator(options, tokens_));
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
  const std::unique_ptr<rocksdb::Iterator> at(database_->NewIterator(rocksdb::ReadOptions(), tokens_));
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
  // A state has a checksum of its own (session_blob.h), which the processor computes; RocksDB's takes longer than reading.
  options.verify_checksums = false;
  rocksdb::PinnableSlice state;
  const rocksdb::Status status = database_->Get(options, states_, NumberedKey(session, snapshot), &state);
  if (status.IsNotFound()) return NotFound("the state of snapshot ", snapshot, " is not in the session store");
  RADLADS_RETURN_IF_ERROR(FromRocksDb(status));
  return read({state.data(), state.size()});
}

absl::Status SessionDatabase::ForEach(const OnRecord& on_record, const OnReply& on_reply) {
  const std::unique_ptr<rocksdb::Iterator> at(database_->NewIterator(rocksdb::ReadOptions(), records_));
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
