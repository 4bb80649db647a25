// The RocksDB of a session store: keys, values and statuses. Private to the store.
// Format: docs/formats/session_store.md.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_
#define RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/sessions/disk_room.h"
#include "serve/sessions/opened_database.h"
#include "serve/sessions/session_record.pb.h"

namespace radlads {

// Sessions are known by a number here. Thread-safe.
//
// On a full disk it can be read, and is opened for writing as soon as something is to be written and there is room.
class SessionDatabase {
 public:
  // Made where there is none. FAILED_PRECONDITION for another version, another model, or a folder that another process
  // has open; DATA_LOSS for a damaged one; NoRoom where there is none and the disk is full.
  static absl::StatusOr<std::unique_ptr<SessionDatabase>> Open(const std::string& directory,
                                                               const std::string& model_hash,
                                                               const std::string& model_name, rocksdb::Env* env);
  ~SessionDatabase();

  // Changes that are made together or not at all. Making them twice does what making them once does.
  class Batch {
   public:
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
    bool empty() const { return changes_.empty(); }

   private:
    friend class SessionDatabase;
    struct Change {
      enum Kind { kPut, kMerge, kDelete, kDeleteRange } kind;
      Family family;
      std::string key, value;  // of kDeleteRange: the first key, and that after the last
    };
    std::vector<Change> changes_;
    int64_t bytes_ = 0;
    void Add(Change change);
  };
  enum class Purpose { kKeep, kFree };
  // What is written survives the end of the process at once, and with `sync` that of the machine. NoRoom for a full
  // disk: nothing is written, and once there is room, everything goes on. What is to kFree room may use the reserve
  // (disk_room.h). The caller holds no View.
  absl::Status Write(const Batch& batch, bool sync, Purpose purpose);
  // NoRoom unless something new may be kept.
  absl::Status CheckRoom();
  // After something was deleted: gives its room back at once where there is little.
  void TidyUpIfFull();

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
  using Pin = std::shared_ptr<OpenedDatabase>;

  SessionDatabase(std::string directory, rocksdb::Env* env) : directory_(std::move(directory)), env_(env) {}
  absl::Status CheckIdentity(const std::string& model_hash, const std::string& model_name);
  absl::Status FromRocksDb(const rocksdb::Status& status) const;
  // Stays open as long as somebody holds it. UNAVAILABLE where it could not even be opened to read.
  absl::StatusOr<Pin> Opened() const;
  absl::Status CheckRoomToOpen() const;
  absl::Status OpenToWrite();
  absl::Status OpenAgain();
  absl::StatusOr<Pin> OpenedToWrite();
  absl::Status CheckRoom(const DiskRoom& room, int64_t needed);

  const std::string directory_;
  rocksdb::Env* const env_;
  std::atomic<bool> told_full_ = false;
  mutable std::mutex mutex_;  // guards what follows; others hold it only to get a Pin
  Pin opened_;
  bool compact_ = true;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_DATABASE_H_
