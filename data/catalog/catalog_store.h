// What reading and writing a catalog share: names of files and keys, locks, and RocksDB's statuses as ours. Private to
// the catalog.
#ifndef RADLADS_DATA_CATALOG_CATALOG_STORE_H_
#define RADLADS_DATA_CATALOG_CATALOG_STORE_H_

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/catalog/catalog.h"

namespace radlads::catalog_store {

inline constexpr int kVersion = 1;

std::string DatabasePath(const std::string& directory);
std::string ShardsPath(const std::string& directory);
// Held for as long as a process writes; its text says who that is.
std::string WriterLockPath(const std::string& directory);
// Held for the moments in which RocksDB rearranges its files (exclusive) or a reader looks at them (shared).
std::string FilesLockPath(const std::string& directory);

inline constexpr char kVersionKey[] = "version";
std::string DatasetKey(const std::string& dataset);
std::string ShardKey(const std::string& dataset, int64_t number);
std::string IntentKey(const std::string& dataset, int64_t number);
// Of "KIND/NAME/NUMBER"; false when the key is not of this form.
bool ParseNumberedKey(const std::string& key, const std::string& kind, std::string* dataset, int64_t* number);
bool IsDatasetName(const std::string& name);
extern const char kDatasetNameRule[];

// An flock(2) that ends with the object or the process.
class FileLock {
 public:
  enum class Mode { kShared, kExclusive, kTryExclusive };
  // FAILED_PRECONDITION from kTryExclusive when somebody else holds it. Only exclusive modes create the file.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& path, Mode mode);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  // Replaces the file's text.
  absl::Status Write(const std::string& text);

 private:
  FileLock(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  std::string path_;
  int descriptor_;
};

rocksdb::Options DatabaseOptions();
// OK, or DATA_LOSS / RESOURCE_EXHAUSTED (a full disk) / UNAVAILABLE with the path and what to do.
absl::Status FromRocksDb(const rocksdb::Status& status, const std::string& path);

// Everything in an open database. FAILED_PRECONDITION for another version, DATA_LOSS for keys of no known kind; damaged
// values end up in the status of their dataset.
absl::Status Load(rocksdb::DB* database, const std::string& directory, std::map<std::string, CatalogDataset>* datasets,
                  std::map<std::string, catalog::Intent>* intents);

}  // namespace radlads::catalog_store

#endif  // RADLADS_DATA_CATALOG_CATALOG_STORE_H_
