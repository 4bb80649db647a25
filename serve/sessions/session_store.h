// Sessions on disk: their tokens, and snapshots of the model's state at places of the text. States are bytes here
// (session_blob.h): the store knows no model but by its hash. Format: docs/formats/session_store.md.
//
// A session is changed by whoever holds its lease, and who holds no StoredSession::view of any then. Each change is
// there whole or not at all, whenever the process is killed; of a reply under way, all tokens that AppendTokens
// returned for.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_STORE_H_
#define RADLADS_SERVE_SESSIONS_SESSION_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/sessions/prefix_hash.h"
#include "serve/sessions/session_record.pb.h"

namespace rocksdb {
class Env;
class Snapshot;
}  // namespace rocksdb

namespace radlads {

class SessionDatabase;

struct SessionStoreOptions {
  int64_t sessions = 100'000;
  int64_t bytes = int64_t{64} << 30;           // of all: when they are met, the least recently used keep only their end
  int64_t session_bytes = int64_t{256} << 20;  // of the snapshots of one; the end is always kept
  int64_t ttl_seconds = 0;                     // of a session that asks for none; 0: for ever
  bool sync = true;                // the end of a message is safe from a loss of power, too, when it is reported
  std::function<int64_t()> clock;  // seconds since 1970; empty: the system's
  rocksdb::Env* env = nullptr;     // null: the system's

  absl::Status Check() const;
};

// What is known of a session at one moment, and its tokens and states as they were then.
struct StoredSession {
  uint64_t number = 0;
  sessions::SessionRecord record;
  int64_t tokens = 0;                          // of the text, with a reply under way
  std::optional<sessions::ReplyRecord> reply;  // under way, or cut by a crash
  bool leased = false;
  int64_t bytes = 0;  // that it takes
  std::shared_ptr<const rocksdb::Snapshot> view;
};

// "0123456789abcdef-7": the number of a session, random, and of the snapshot in it.
std::string SnapshotId(uint64_t session, int64_t snapshot);
// Its name, if it has one.
std::string SnapshotId(uint64_t session, const sessions::SnapshotRecord& snapshot);

// Thread-safe.
class SessionStore {
  struct Entry {
    uint64_t number = 0;
    sessions::SessionRecord record;  // as on disk
    int64_t tokens = 0;
    std::optional<sessions::ReplyRecord> reply;
    bool leased = false;
    int64_t counted = 0;                // of it in bytes_
    std::optional<int64_t> taken_back;  // what TakeBack could not write yet; the lease's
  };

 public:
  // Made where there is none. Sessions whose reply was cut by a crash end with the last token that was appended.
  // FAILED_PRECONDITION for a store of another model or version, or one that another process has open.
  static absl::StatusOr<std::unique_ptr<SessionStore>> Open(const std::string& directory, const std::string& model_hash,
                                                            const std::string& model_name,
                                                            const SessionStoreOptions& options);
  ~SessionStore();

  // The right to change a session, until its end.
  class Lease {
   public:
    Lease(Lease&& other) noexcept : store_(std::exchange(other.store_, nullptr)), entry_(other.entry_) {}
    ~Lease();
    uint64_t number() const;

   private:
    friend class SessionStore;
    Lease(SessionStore* store, Entry* entry) : store_(store), entry_(entry) {}
    SessionStore* store_;
    Entry* entry_;
  };
  // NOT_FOUND; FAILED_PRECONDITION while somebody has it; NoRoom (serve/error_code.h) while what a failed reply left
  // cannot be taken back.
  absl::StatusOr<Lease> Acquire(std::string_view id);

  // NoRoom where no session, or no byte, more may be kept, by the limits or on the disk. Whatever changes a session
  // says so, too, and nothing is changed then.
  absl::Status CheckRoom(bool for_a_new_session);
  // Empty, or with the first `tokens` of a text and, if `place` is there, a snapshot of it (as for Commit). `id` empty:
  // a random one. ttl_seconds 0: that of the options. Besides, ALREADY_EXISTS, INVALID_ARGUMENT for an id that is none.
  struct Place;
  absl::StatusOr<StoredSession> Insert(std::string_view id, int64_t ttl_seconds, const std::string& parent,
                                       std::span<const int64_t> tokens, const Place* place);

  absl::StatusOr<StoredSession> Find(std::string_view id);
  StoredSession Find(const Lease& lease);
  // OK for a name that no snapshot has; INVALID_ARGUMENT, ALREADY_EXISTS.
  absl::Status CheckName(std::string_view name) const;
  // Of a snapshot's id or name: its session, and its place in the record. ABORTED when it was dropped.
  absl::StatusOr<std::pair<StoredSession, int>> FindSnapshot(std::string_view id);
  // A snapshot of any session, by the text that its state has read.
  struct Prefix {
    int64_t place = 0;  // of its hash, in `hashes`
    StoredSession session;
    int snapshot = 0;  // in the session's record
  };
  // That of the last of these hashes that there is one of. Looks at no state.
  std::optional<Prefix> FindPrefix(std::span<const PrefixHash> hashes);
  // By their ids, those after `after`; without views.
  std::vector<StoredSession> List(std::string_view after, int64_t limit);
  absl::Status Remove(std::string_view id);
  // Removes what was not used for so long as its ttl. Returns how many those were.
  absl::StatusOr<int64_t> Expire();

  struct Append {
    const Lease* lease;
    std::vector<int64_t> tokens;                 // follow the text so far
    std::optional<sessions::ReplyRecord> begin;  // of the first append of a reply
  };
  // All or nothing.
  absl::Status AppendTokens(std::span<const Append> appends);

  // A place in the text where the state is kept.
  struct Place {
    sessions::SnapshotRecord record;  // but its number, time and bytes
    std::string_view state;           // empty: none is stored
  };
  // A snapshot on the way, or the end of a reply: the text is then as far as it was appended. Returns the snapshot's
  // id.
  absl::StatusOr<std::string> Commit(const Lease& lease, const Place& place);
  // The end of a reply without a snapshot.
  absl::Status EndReply(const Lease& lease);
  // The text ends after `tokens` again; what comes later is dropped, and no reply is under way.
  absl::Status Truncate(const Lease& lease, int64_t tokens);
  // The same for a reply that failed: where it cannot be written it is done before somebody gets the next lease.
  absl::Status TakeBack(const Lease& lease, int64_t tokens);

  absl::StatusOr<std::vector<int64_t>> Tokens(const StoredSession& session, int64_t first, int64_t last);
  absl::Status ReadState(const StoredSession& session, int64_t snapshot,
                         const std::function<absl::Status(std::string_view state)>& read);

  int64_t sessions() const;
  int64_t bytes() const;

 private:
  SessionStore(std::unique_ptr<SessionDatabase> database, const SessionStoreOptions& options);
  absl::Status Load();
  absl::Status Recover(Entry* entry);
  void SetRecord(Entry* entry, sessions::SessionRecord record);
  void DropFromIndex(Entry* entry);
  void Recount(Entry* entry);
  StoredSession Describe(const Entry& entry) const;
  absl::StatusOr<Entry*> FindEntry(std::string_view id);
  absl::Status CheckRoomLocked(bool for_a_new_session);
  absl::Status RemoveEntry(Entry* entry, std::unique_lock<std::mutex>* lock);
  void TrimToRoom();
  int64_t Now() const;

  const std::unique_ptr<SessionDatabase> database_;
  const SessionStoreOptions options_;
  mutable std::mutex mutex_;  // guards what follows, not what a lease guards
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> entries_;
  std::map<std::string, Entry*, std::less<>> ids_;
  std::map<std::string, Entry*, std::less<>> names_;                        // of snapshots
  std::unordered_multimap<PrefixHash, Entry*, HashOfPrefixHash> prefixes_;  // an element for each snapshot with a state
  int64_t bytes_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_STORE_H_
