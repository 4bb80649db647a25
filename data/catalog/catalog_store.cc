#include "data/catalog/catalog_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "base/rocksdb_log.h"
#include "base/status.h"
#include "data/binidx.h"

namespace radlads::catalog_store {
namespace {

constexpr int64_t kMaxShard = 9'999'999'999;

std::string NumberedKey(const std::string& kind, const std::string& dataset, int64_t number) {
  char digits[16];
  std::snprintf(digits, sizeof(digits), "%010lld", static_cast<long long>(number));
  return kind + "/" + dataset + "/" + digits;
}

bool IsSoundFile(const catalog::File& file, int64_t at_least) {
  return file.bytes() >= at_least && file.block_bytes() > 0 &&
         file.crc32c_size() == (file.bytes() + file.block_bytes() - 1) / file.block_bytes();
}

bool IsTokenType(const std::string& name) {
  for (const TokenType type : {TokenType::kUint8, TokenType::kInt8, TokenType::kInt16, TokenType::kInt32,
                               TokenType::kInt64, TokenType::kUint16}) {
    if (name == TokenTypeName(type)) return true;
  }
  return false;
}

bool IsSound(const catalog::Shard& shard) {
  return !shard.prefix().empty() && shard.tokens() > 0 && shard.documents() >= 0 && IsTokenType(shard.token_type()) &&
         IsSoundFile(shard.bin(), shard.tokens()) && IsSoundFile(shard.idx(), 1);
}

// The sums of the record are those of the shards.
absl::Status CheckSums(const CatalogDataset& dataset) {
  int64_t tokens = 0, documents = 0;
  for (const auto& [number, shard] : dataset.shards) {
    tokens += shard.tokens();
    documents += shard.documents();
  }
  if (tokens == dataset.record.tokens() && documents == dataset.record.documents()) return absl::OkStatus();
  return DataLoss("dataset ", dataset.name, " says it has ", dataset.record.tokens(), " tokens in ",
                  dataset.record.documents(), " documents, but its ", dataset.shards.size(), " shards have ", tokens,
                  " in ", documents, "; a shard is missing from the catalog: remove the dataset and import it anew");
}

absl::Status Damaged(const std::string& key) {
  return DataLoss("the value of ", key,
                  " in the catalog is damaged; remove the dataset (make_binidx catalog remove) and import its files "
                  "again. Other datasets are not affected");
}

}  // namespace

const char kDatasetNameRule[] = "1 to 100 letters, digits, '.', '_' or '-', beginning with a letter or digit";

std::string DatabasePath(const std::string& directory) {
  return JoinPath(directory, "index");
}
std::string ShardsPath(const std::string& directory) {
  return JoinPath(directory, "shards");
}
std::string WriterLockPath(const std::string& directory) {
  return JoinPath(directory, "writer.lock");
}
std::string FilesLockPath(const std::string& directory) {
  return JoinPath(directory, "files.lock");
}

std::string DatasetKey(const std::string& dataset) {
  return "dataset/" + dataset;
}
std::string ShardKey(const std::string& dataset, int64_t number) {
  return NumberedKey("shard", dataset, number);
}
std::string IntentKey(const std::string& dataset, int64_t number) {
  return NumberedKey("intent", dataset, number);
}

bool ParseNumberedKey(const std::string& key, const std::string& kind, std::string* dataset, int64_t* number) {
  const size_t slash = key.rfind('/');
  if (!key.starts_with(kind + "/") || slash == kind.size() || key.size() != slash + 11) return false;
  *number = 0;
  for (const char digit : key.substr(slash + 1)) {
    if (digit < '0' || digit > '9') return false;
    *number = *number * 10 + (digit - '0');
  }
  *dataset = key.substr(kind.size() + 1, slash - kind.size() - 1);
  return IsDatasetName(*dataset) && *number <= kMaxShard;
}

bool IsDatasetName(const std::string& name) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || name.size() > 100 || !is_alphanumeric(name[0])) return false;
  for (const char c : name) {
    if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(const std::string& path, Mode mode) {
  const int flags = mode == Mode::kShared ? O_RDONLY : O_RDWR | O_CREAT;
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (descriptor < 0) return FileError("open", path, errno);
  std::unique_ptr<FileLock> lock(new FileLock(path, descriptor));
  const int operation = mode == Mode::kShared ? LOCK_SH : mode == Mode::kExclusive ? LOCK_EX : LOCK_EX | LOCK_NB;
  while (::flock(descriptor, operation) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return FailedPrecondition(path, " is locked by another process");
    return FileError("lock", path, errno);
  }
  return lock;
}

FileLock::~FileLock() {
  ::close(descriptor_);
}

absl::Status FileLock::Write(const std::string& text) {
  if (::ftruncate(descriptor_, 0) != 0) return FileError("cut", path_, errno);
  const ssize_t written = ::pwrite(descriptor_, text.data(), text.size(), 0);
  if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return FileError("write", path_, written < 0 ? errno : ENOSPC, text.size());
}

rocksdb::Options DatabaseOptions() {
  rocksdb::Options options;
  options.OptimizeForSmallDb();
  // RocksDB moves files only while FilesLockPath is held: at open and close, never behind a reader's back.
  options.disable_auto_compactions = true;
  options.write_buffer_size = 256 << 20;
  options.max_open_files = -1;
  options.info_log = NoRocksDbLog();
  options.allow_fallocate = false;  // a log is short, and would take hundreds of MB of the disk for as long as it is written
  options.compression = rocksdb::kNoCompression;
  return options;
}

absl::Status FromRocksDb(const rocksdb::Status& status, const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsCorruption()) {
    return DataLoss("the catalog's database ", path, " is damaged: ", status.ToString(),
                    "; restore the folder from a copy, or remove it and import the files again (they are not touched)");
  }
  const std::string message = Concatenate("the catalog's database ", path, ": ", status.ToString());
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kSpaceLimit) {
    return absl::ResourceExhaustedError(message + "; make room and run the same command again");
  }
  return absl::UnavailableError(message);
}

absl::Status Load(rocksdb::DB* database, const std::string& directory, std::map<std::string, CatalogDataset>* datasets,
                  std::map<std::string, catalog::Intent>* intents) {
  datasets->clear();
  intents->clear();
  std::string version;
  bool empty = true;
  std::vector<std::pair<std::string, std::string>> entries;
  std::unique_ptr<rocksdb::Iterator> iterator(database->NewIterator(rocksdb::ReadOptions()));
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    empty = false;
    if (iterator->key() == rocksdb::Slice(kVersionKey)) {
      version = iterator->value().ToString();
    } else {
      entries.emplace_back(iterator->key().ToString(), iterator->value().ToString());
    }
  }
  RADLADS_RETURN_IF_ERROR(FromRocksDb(iterator->status(), DatabasePath(directory)));
  if (empty) return absl::OkStatus();  // just made
  if (version != std::to_string(kVersion)) {
    return FailedPrecondition(directory, " is a catalog of version '", version, "', expected ", kVersion,
                              "; use the radlads that wrote it, or import its files into a new catalog");
  }
  for (const auto& [key, value] : entries) {  // "dataset/..." before "shard/..."
    std::string name;
    int64_t number = 0;
    if (key.starts_with("dataset/") && IsDatasetName(key.substr(8))) {
      CatalogDataset& dataset = (*datasets)[key.substr(8)];
      dataset.name = key.substr(8);
      if (!dataset.record.ParseFromString(value)) dataset.status = Damaged(key);
    } else if (ParseNumberedKey(key, "shard", &name, &number)) {
      CatalogDataset& dataset = (*datasets)[name];
      dataset.name = name;
      catalog::Shard& shard = dataset.shards[number];
      if (!shard.ParseFromString(value) || !IsSound(shard)) dataset.status.Update(Damaged(key));
    } else if (ParseNumberedKey(key, "intent", &name, &number)) {
      if (!(*intents)[key].ParseFromString(value)) return Damaged(key);
    } else {
      return DataLoss(directory, ": the catalog has a key of no known kind, \"", key, "\"; the database is damaged");
    }
  }
  for (auto& [name, dataset] : *datasets) {
    if (dataset.status.ok()) dataset.status = CheckSums(dataset);
  }
  return absl::OkStatus();
}

}  // namespace radlads::catalog_store
