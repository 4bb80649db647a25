// The RocksDB of a session store: keys, values and statuses. Private to the store.
// Format: docs/formats/session_store.md.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_
#define RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/sessions/session_record.pb.h"

namespace radlads {

// Sessions are known by a number here. Thread-safe.
class SessionDatabase {
 public:
  // Made where there is none. FAILED_PRECONDITION for another version, another model, or a folder that another process
  // has open; DATA_LOSS for a damaged one.
  static absl::StatusOr<std::unique_ptr<SessionDatabase>> Open(const std::string& directory,
                                                               const std::string& model_hash,
                                                               const std::string& model_name, rocksdb::Env* env);
  ~SessionDatabase();

  // Changes that are made together or not at all.
  class Batch {
   public:
    explicit Batch(SessionDatabase& database) : database_(database) {}
    void PutRecord(uint64_t session, const sessions::SessionRecord& record);
    void PutReply(uint64_t session, const sessions::ReplyRecord& reply);
    void DeleteReply(uint64_t session);
    // The text has `tokens` from `first` on, and ends with them as far as this chunk of the log goes.
    void PutTokens(uint64_t session, int64_t first, std::span<const int64_t> tokens);
    // The text, of `had` tokens, ends after `tokens`.
    void Truncate(uint64_t session, int64_t tokens, int64_t had);
    void PutState(uint64_t session, int64_t snapshot, std::string_view state);
    void DeleteState(uint64_t session, int64_t snapshot);
    void DeleteSession(uint64_t session, const sessions::SessionRecord& record);
    bool empty() const { return batch_.Count() == 0; }

   private:
    friend class SessionDatabase;
    SessionDatabase& database_;
    rocksdb::WriteBatch batch_;
  };
  // What is written survives the end of the process at once, and with `sync` that of the machine. RESOURCE_EXHAUSTED
  // for a full disk: nothing is written, and once there is room, everything goes on.
  absl::Status Write(Batch& batch, bool sync);

  // The database at one moment.
  using View = std::shared_ptr<const rocksdb::Snapshot>;
  View Look();
  // Tokens [first, last) of a text that has them. DATA_LOSS where it has not.
  absl::StatusOr<std::vector<int64_t>> Tokens(uint64_t session, int64_t first, int64_t last, const View& view);
  // How many tokens follow `first`, without a gap.
  absl::StatusOr<int64_t> CountTokens(uint64_t session, int64_t first);
  // NOT_FOUND if there is none.
  absl::Status ReadState(uint64_t session, int64_t snapshot, const View& view,
                         const std::function<absl::Status(std::string_view state)>& read);
  using OnRecord = std::function<void(uint64_t session, sessions::SessionRecord record)>;
  using OnReply = std::function<void(uint64_t session, const sessions::ReplyRecord& reply)>;
  absl::Status ForEach(const OnRecord& on_record, const OnReply& on_reply);

 private:
  explicit SessionDatabase(std::string directory) : directory_(std::move(directory)) {}
  absl::Status CheckIdentity(const std::string& model_hash, const std::string& model_name);
  absl::Status FromRocksDb(const rocksdb::Status& status) const;

  const std::string directory_;
  std::unique_ptr<rocksdb::DB> database_;
  // Of records and replies, tokens, states; the default one has the identity.
  rocksdb::ColumnFamilyHandle *identity_ = nullptr, *records_ = nullptr, *tokens_ = nullptr, *states_ = nullptr;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_
