// A RocksDB of sessions while it is open: its options, column families, log and errors. Private to SessionDatabase.
//
// On a full disk RocksDB stops writing, and its own way on (DB::Resume) has holes: it goes on with a log that it has
// seen fail when there is nothing to sort, and a build with assertions then ends the process. So a database that has
// stopped is closed and opened again; whatever was answered is in its log.
#ifndef RADLADS_SERVE_SESSIONS_OPENED_DATABASE_H_
#define RADLADS_SERVE_SESSIONS_OPENED_DATABASE_H_

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace radlads {

enum class Family { kIdentity, kRecords, kTokens, kStates };

class OpenedDatabase {
 public:
  // Made where there is none. Without `compact`, files are not joined in the background.
  static rocksdb::Status ToWrite(const std::string& directory, rocksdb::Env* env, bool compact,
                                 std::shared_ptr<OpenedDatabase>* opened);
  // As it is, log and all, without a byte of room; nobody else may have it open.
  static rocksdb::Status ToRead(const std::string& directory, rocksdb::Env* env,
                                std::shared_ptr<OpenedDatabase>* opened);
  ~OpenedDatabase();

  rocksdb::DB* operator->() const { return database_.get(); }
  rocksdb::ColumnFamilyHandle* of(Family family) const { return families_[static_cast<int>(family)]; }
  // False from the beginning, or once RocksDB has stopped.
  bool writable() const { return !read_only_ && !*stopped_; }
  bool read_only() const { return read_only_; }
  // It has stopped as files could not be joined, which takes room for a while. It would be tried again and again.
  bool compaction_failed() const { return *compaction_failed_; }
  bool compacts() const { return compact_; }
  void StartCompacting();
  // Bytes that are in the log only, and want as much room when they are sorted.
  int64_t unsorted() const;
  // Sorts them now.
  rocksdb::Status Sort();
  // The same, and gives back the room of what was deleted, as far as no state that is kept must be written again.
  rocksdb::Status Tidy();
  // Of one that is to be read: so that another can be opened to write, and back if that failed.
  void Unlock();
  rocksdb::Status Lock();

 private:
  OpenedDatabase(std::string directory, rocksdb::Env* env, bool read_only, bool compact);
  rocksdb::Status Open();

  const std::string directory_;
  rocksdb::Env* const env_;
  const bool read_only_;
  std::atomic<bool> compact_;
  const std::shared_ptr<std::atomic<bool>> stopped_, compaction_failed_;
  rocksdb::FileLock* lock_ = nullptr;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_OPENED_DATABASE_H_
