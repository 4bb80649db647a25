#include "serve/sessions/opened_database.h"

#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>

#include <cstdarg>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "serve/sessions/token_log.h"

namespace radlads {
namespace {

// Makes no file LOG, as NoRocksDbLog does not (base/rocksdb_log.h says why), but hands on warnings and errors: a server
// has work in the background that no call returns the status of.
class WarningsToOurLog : public rocksdb::Logger {
 public:
  WarningsToOurLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel() || level > rocksdb::InfoLogLevel::FATAL_LEVEL) return;
    char line[1024];
    std::vsnprintf(line, sizeof(line), format, arguments);
    std::string text(line);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    Log().log(level == rocksdb::InfoLogLevel::WARN_LEVEL ? spdlog::level::warn : spdlog::level::err, "RocksDB: {}",
              text);
  }
};

// Notes that RocksDB has stopped, and keeps it from looking every five seconds whether there is room again: the next
// write does. Files that cannot be joined stop it, too: RocksDB would try again every second, fill the disk each time,
// and in the end make writes wait for it.
class ErrorListener : public rocksdb::EventListener {
 public:
  ErrorListener(std::shared_ptr<std::atomic<bool>> stopped, std::shared_ptr<std::atomic<bool>> compaction_failed)
      : stopped_(std::move(stopped)), compaction_failed_(std::move(compaction_failed)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction) {
      *compaction_failed_ = true;
      if (status->severity() < rocksdb::Status::Severity::kHardError) {
        *status = rocksdb::Status(*status, rocksdb::Status::Severity::kHardError);
      }
    }
    *stopped_ = true;
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
    *automatic = false;
  }

 private:
  const std::shared_ptr<std::atomic<bool>> stopped_, compaction_failed_;
};

rocksdb::ColumnFamilyOptions SmallValues() {
  rocksdb::ColumnFamilyOptions options;
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 16 << 20;
  options.arena_block_size = 128 << 10;  // unsorted() counts whole blocks
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

rocksdb::DBOptions DatabaseOptions(rocksdb::Env* env, std::shared_ptr<rocksdb::EventListener> listener) {
  rocksdb::DBOptions options;
  options.env = env;
  options.max_total_wal_size = 256 << 20;
  options.max_background_jobs = 2;
  options.info_log = std::make_shared<WarningsToOurLog>();
  options.listeners = {std::move(listener)};
  options.max_bgerror_resume_count = 0;
  // All families are sorted together or not at all. Otherwise one is ahead of a log whose last record a full disk cut,
  // and the next start takes the store for damaged.
  options.atomic_flush = true;
  // A start needs no room for what is in the log, and the log takes no more than is in it.
  options.avoid_flush_during_recovery = true;
  options.allow_fallocate = false;
  // Up to the record that a crash or a full disk cut, which nobody was told of.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  return options;
}

}  // namespace

OpenedDatabase::OpenedDatabase(std::string directory, rocksdb::Env* env, bool read_only, bool compact)
    : directory_(std::move(directory)),
      env_(env != nullptr ? env : rocksdb::Env::Default()),
      read_only_(read_only),
      compact_(compact),
      stopped_(std::make_shared<std::atomic<bool>>(false)),
      compaction_failed_(std::make_shared<std::atomic<bool>>(false)) {
  // Texts go first.
  env_->LowerThreadPoolCPUPriority(rocksdb::Env::Priority::LOW);
}

OpenedDatabase::~OpenedDatabase() {
  for (rocksdb::ColumnFamilyHandle* family : families_) (void)database_->DestroyColumnFamilyHandle(family);
  database_.reset();
  Unlock();
}

rocksdb::Status OpenedDatabase::Open() {
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {{rocksdb::kDefaultColumnFamilyName, SmallValues()},
                                                           {"records", SmallValues()},
                                                           {"tokens", TokenOptions()},
                                                           {"states", StateOptions()}};
  for (auto& family : families) family.options.disable_auto_compactions = !compact_;
  rocksdb::DBOptions options = DatabaseOptions(env_, std::make_shared<ErrorListener>(stopped_, compaction_failed_));
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status;
  if (read_only_) {
    status = rocksdb::DB::OpenForReadOnly(options, directory_, families, &families_, &opened);
  } else {
    options.create_if_missing = options.create_missing_column_families = true;
    status = rocksdb::DB::Open(options, directory_, families, &families_, &opened);
  }
  database_.reset(opened);
  return status;
}

rocksdb::Status OpenedDatabase::ToWrite(const std::string& directory, rocksdb::Env* env, bool compact,
                                        std::shared_ptr<OpenedDatabase>* opened) {
  std::shared_ptr<OpenedDatabase> made(new OpenedDatabase(directory, env, /*read_only=*/false, compact));
  const rocksdb::Status status = made->Open();
  if (status.ok()) *opened = std::move(made);
  return status;
}

rocksdb::Status OpenedDatabase::ToRead(const std::string& directory, rocksdb::Env* env,
                                       std::shared_ptr<OpenedDatabase>* opened) {
  std::shared_ptr<OpenedDatabase> made(new OpenedDatabase(directory, env, /*read_only=*/true, /*compact=*/false));
  rocksdb::Status status = made->Lock();
  if (status.ok()) status = made->Open();
  if (status.ok()) *opened = std::move(made);
  return status;
}

int64_t OpenedDatabase::unsorted() const {
  uint64_t bytes = 0;
  (void)database_->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes);
  return static_cast<int64_t>(bytes);
}

rocksdb::Status OpenedDatabase::Sort() {
  rocksdb::FlushOptions options;
  options.allow_write_stall = true;  // rather than to wait for files to be joined
  return database_->Flush(options, families_);
}

void OpenedDatabase::StartCompacting() {
  if (!compact_.exchange(true)) (void)database_->EnableAutoCompaction(families_);
}

rocksdb::Status OpenedDatabase::Tidy() {
  rocksdb::Status status = Sort();
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  options.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kDisable;
  for (rocksdb::ColumnFamilyHandle* const family : families_) {
    if (status.ok()) status = database_->CompactRange(options, family, nullptr, nullptr);
  }
  return status;
}

void OpenedDatabase::Unlock() {
  if (lock_ != nullptr) (void)env_->UnlockFile(std::exchange(lock_, nullptr));
}

rocksdb::Status OpenedDatabase::Lock() {
  return env_->LockFile(directory_ + "/LOCK", &lock_);
}

}  // namespace radlads
