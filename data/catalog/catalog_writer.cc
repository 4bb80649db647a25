#include <rocksdb/write_batch.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/catalog_store.h"
#include "data/catalog/shard_files.h"
#include "data/sampler.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
namespace store = catalog_store;

constexpr int64_t kContexts[] = {512, 1024, 2048, 4096, 8192, 16384, 32768};
// Each opening after a change adds a file to the database; this many are merged into one.
constexpr int kFilesBeforeCompaction = 8;

std::string Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
}

std::string WhoWrites() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  auto command = ReadFile("/proc/self/comm");
  std::string name = command.ok() ? *command : "";
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return Concatenate("process ", ::getpid(), name.empty() ? "" : " (" + name + ")", " on ", host, " since ", Now());
}

// A directory in which a catalog may be made.
absl::Status CheckIsFree(const std::string& directory) {
  const std::set<std::string> own = {"index", "shards", "writer.lock", "files.lock"};
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (own.count(entry.path().filename().string())) continue;
    return FailedPrecondition(directory, " is not a catalog, and not empty (it has ", entry.path().filename().string(),
                              "); name a new directory for the catalog");
  }
  if (error) return absl::UnavailableError(Concatenate("cannot read ", directory, ": ", error.message()));
  return absl::OkStatus();
}

std::string TokenizerOf(const std::string& name, const std::string& hash, int64_t vocabulary) {
  if (hash.empty()) return "an unknown tokenizer";
  return Concatenate("the tokenizer ", name, " (hash ", hash, ", ", vocabulary, " ids)");
}

// The new shard's ids mean what those of the others mean.
absl::Status CheckSameTokenizer(const std::string& dataset, const catalog::Dataset& record,
                                const catalog::Shard& shard) {
  if (record.tokenizer_hash() != shard.tokenizer_hash() || record.vocabulary_size() != shard.vocabulary_size()) {
    return FailedPrecondition(
        "the shards of dataset ", dataset, " were made with ",
        TokenizerOf(record.tokenizer(), record.tokenizer_hash(), record.vocabulary_size()), ", but ", shard.prefix(),
        " with ", TokenizerOf(shard.tokenizer(), shard.tokenizer_hash(), shard.vocabulary_size()),
        "; import it as a dataset of its own, or say which one it is with --tokenizer where the files do not");
  }
  if (record.has_eos_id() != shard.has_eos_id() || record.eos_id() != shard.eos_id()) {
    const auto mark = [](bool has, int64_t id) { return has ? Concatenate("token ", id) : std::string("no token"); };
    return FailedPrecondition("documents of dataset ", dataset, " end with ",
                              mark(record.has_eos_id(), record.eos_id()), ", those of ", shard.prefix(), " with ",
                              mark(shard.has_eos_id(), shard.eos_id()), "; import it as a dataset of its own");
  }
  return absl::OkStatus();
}

// Sums and primes over the shards.
void Summarise(const std::map<int64_t, catalog::Shard>& shards, catalog::Dataset* record) {
  int64_t tokens = 0, documents = 0;
  for (const auto& [number, shard] : shards) {
    tokens += shard.tokens();
    documents += shard.documents();
  }
  record->set_tokens(tokens);
  record->set_documents(documents);
  record->clear_magic_primes();
  for (const int64_t ctx : kContexts) {
    const absl::StatusOr<int64_t> prime = MagicPrime(tokens, ctx);
    if (!prime.ok()) continue;  // too long for so few tokens
    catalog::MagicPrime* entry = record->add_magic_primes();
    entry->set_ctx_len(ctx);
    entry->set_prime(*prime);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<CatalogWriter>> CatalogWriter::Open(const std::string& directory) {
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  if (!Catalog::IsCatalog(directory)) RADLADS_RETURN_IF_ERROR(CheckIsFree(directory));
  std::unique_ptr<CatalogWriter> writer(new CatalogWriter);
  writer->contents_.directory_ = directory;
  const std::string lock_path = store::WriterLockPath(directory);
  auto lock = store::FileLock::Acquire(lock_path, store::FileLock::Mode::kTryExclusive);
  if (absl::IsFailedPrecondition(lock.status())) {
    const auto who = ReadFile(lock_path);
    return FailedPrecondition("the catalog ", directory, " is being written by ",
                              who.ok() && !who->empty() ? *who : "another process",
                              "; try again when it is done (reading works all the while)");
  }
  RADLADS_RETURN_IF_ERROR(lock.status());
  RADLADS_RETURN_IF_ERROR((*lock)->Write(WhoWrites()));
  writer->writing_ = *std::move(lock);
  RADLADS_RETURN_IF_ERROR(writer->OpenDatabase());
  RADLADS_RETURN_IF_ERROR(writer->Repair());
  writer->ReportFiles();
  return writer;
}

CatalogWriter::~CatalogWriter() {
  if (database_ != nullptr) {
    const auto rearranging =
        store::FileLock::Acquire(store::FilesLockPath(contents_.directory_), store::FileLock::Mode::kExclusive);
    database_.reset();
  }
  if (writing_ != nullptr) (void)writing_->Write("");
}

absl::Status CatalogWriter::OpenDatabase() {
  const std::string& directory = contents_.directory_;
  RADLADS_RETURN_IF_ERROR(MakeDirectories(store::ShardsPath(directory)));
  RADLADS_ASSIGN_OR_RETURN(const auto rearranging, store::FileLock::Acquire(store::FilesLockPath(directory),
                                                                            store::FileLock::Mode::kExclusive));
  rocksdb::Options options = store::DatabaseOptions();
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  const std::string path = store::DatabasePath(directory);
  RADLADS_RETURN_IF_ERROR(store::FromRocksDb(rocksdb::DB::Open(options, path, &opened), path));
  database_.reset(opened);
  RADLADS_RETURN_IF_ERROR(store::Load(database_.get(), directory, &contents_.datasets_, &contents_.intents_));
  std::string files;
  if (database_->GetProperty("rocksdb.num-files-at-level0", &files) && std::stoi(files) >= kFilesBeforeCompaction) {
    RADLADS_RETURN_IF_ERROR(
        store::FromRocksDb(database_->CompactRange(rocksdb::CompactRangeOptions(), nullptr, nullptr), path));
  }
  std::string version;
  if (!database_->Get(rocksdb::ReadOptions(), store::kVersionKey, &version).IsNotFound()) return absl::OkStatus();
  rocksdb::WriteBatch batch;
  batch.Put(store::kVersionKey, std::to_string(store::kVersion));
  return Write(&batch);
}

absl::Status CatalogWriter::Write(rocksdb::WriteBatch* batch) {
  rocksdb::WriteOptions options;
  options.sync = true;
  return store::FromRocksDb(database_->Write(options, batch), store::DatabasePath(contents_.directory_));
}

absl::Status CatalogWriter::AddBatched(const std::string& name, catalog::Shard shard, const std::string& intent_key) {
  if (!store::IsDatasetName(name)) {
    return InvalidArgument("'", name, "' is no name for a dataset; expected ", store::kDatasetNameRule);
  }
  if (shard.tokens() <= 0) return InvalidArgument(shard.prefix(), " has no tokens");
  CatalogDataset dataset;
  dataset.name = name;
  if (const auto known = contents_.datasets_.find(name); known != contents_.datasets_.end()) dataset = known->second;
  RADLADS_RETURN_IF_ERROR(dataset.status);
  catalog::Dataset& record = dataset.record;
  if (dataset.shards.empty()) {
    record.set_tokenizer(shard.tokenizer());
    record.set_tokenizer_hash(shard.tokenizer_hash());
    record.set_vocabulary_size(shard.vocabulary_size());
    if (shard.has_eos_id()) record.set_eos_id(shard.eos_id());
    if (!record.has_created()) record.set_created(Now());
  } else {
    RADLADS_RETURN_IF_ERROR(CheckSameTokenizer(name, record, shard));
    for (const auto& [number, other] : dataset.shards) {
      if (other.prefix() != shard.prefix()) continue;
      return absl::AlreadyExistsError(
          Concatenate("dataset ", name, " has ", shard.prefix(), " already, as shard ", number));
    }
  }
  // A shard that the catalog owns got its number when it was begun.
  int64_t number = record.next_shard();
  if (!intent_key.empty()) {
    std::string begun_for;
    RADLADS_CHECK(store::ParseNumberedKey(intent_key, "intent", &begun_for, &number) && begun_for == name)
        << intent_key;
  }
  record.set_next_shard(std::max(record.next_shard(), number + 1));
  rocksdb::WriteBatch batch;
  batch.Put(store::ShardKey(name, number), shard.SerializeAsString());
  dataset.shards[number] = std::move(shard);
  Summarise(dataset.shards, &record);
  batch.Put(store::DatasetKey(name), record.SerializeAsString());
  if (!intent_key.empty()) batch.Delete(intent_key);
  RADLADS_RETURN_IF_ERROR(Write(&batch));
  contents_.datasets_[name] = std::move(dataset);
  contents_.intents_.erase(intent_key);
  return absl::OkStatus();
}

absl::Status CatalogWriter::Add(const std::string& dataset, catalog::Shard shard) {
  std::error_code error;
  const fs::path absolute = fs::absolute(shard.prefix(), error).lexically_normal();
  if (error) return InvalidArgument("cannot make ", shard.prefix(), " an absolute path: ", error.message());
  shard.set_prefix(absolute.string());
  shard.set_owned(false);
  return AddBatched(dataset, std::move(shard), "");
}

absl::StatusOr<std::string> CatalogWriter::Begin(const std::string& name, const catalog::Shard& known) {
  if (!store::IsDatasetName(name)) {
    return InvalidArgument("'", name, "' is no name for a dataset; expected ", store::kDatasetNameRule);
  }
  // Numbers of shards that are being written are taken as well.
  int64_t number = 0;
  if (const auto found = contents_.datasets_.find(name); found != contents_.datasets_.end()) {
    RADLADS_RETURN_IF_ERROR(found->second.status);
    number = found->second.record.next_shard();
  }
  while (contents_.intents_.count(store::IntentKey(name, number))) ++number;
  const std::string key = store::IntentKey(name, number);
  catalog::Intent intent;
  intent.set_prefix(JoinPath("shards", name + key.substr(key.rfind('/')).replace(0, 1, "-")));
  catalog::Shard& remembered = *intent.mutable_known();
  remembered.set_tokenizer(known.tokenizer());
  remembered.set_tokenizer_hash(known.tokenizer_hash());
  remembered.set_vocabulary_size(known.vocabulary_size());
  if (known.has_eos_id()) remembered.set_eos_id(known.eos_id());
  rocksdb::WriteBatch batch;
  batch.Put(key, intent.SerializeAsString());
  RADLADS_RETURN_IF_ERROR(Write(&batch));
  contents_.intents_[key] = intent;
  return JoinPath(contents_.directory_, intent.prefix());
}

absl::Status CatalogWriter::Publish(const std::string& prefix) {
  for (const auto& [key, intent] : contents_.intents_) {
    if (JoinPath(contents_.directory_, intent.prefix()) != prefix || intent.remove()) continue;
    std::string name;
    int64_t number = 0;
    RADLADS_CHECK(store::ParseNumberedKey(key, "intent", &name, &number)) << key;
    RADLADS_ASSIGN_OR_RETURN(catalog::Shard shard, DescribeShard(prefix));
    if (const catalog::Shard& known = intent.known(); shard.tokenizer_hash().empty()) {
      shard.set_tokenizer(known.tokenizer());
      shard.set_tokenizer_hash(known.tokenizer_hash());
      shard.set_vocabulary_size(known.vocabulary_size());
      if (known.has_eos_id()) shard.set_eos_id(known.eos_id());
    }
    shard.set_prefix(intent.prefix());
    shard.set_owned(true);
    return AddBatched(name, std::move(shard), std::string(key));
  }
  return NotFound(prefix, " was not begun in the catalog ", contents_.directory_);
}

absl::Status CatalogWriter::Abandon(const std::string& prefix) {
  for (const auto& [key, intent] : contents_.intents_) {
    if (JoinPath(contents_.directory_, intent.prefix()) == prefix) return FinishRemoval(std::string(key));
  }
  return NotFound(prefix, " was not begun in the catalog ", contents_.directory_);
}

absl::Status CatalogWriter::RemoveShards(const std::string& name, const std::vector<int64_t>& numbers) {
  CatalogDataset left = contents_.datasets_.at(name);
  rocksdb::WriteBatch batch;
  std::map<std::string, catalog::Intent> removals;
  for (const int64_t number : numbers) {
    const catalog::Shard& shard = left.shards.at(number);
    batch.Delete(store::ShardKey(name, number));
    if (shard.owned()) {
      catalog::Intent& intent = removals[store::IntentKey(name, number)];
      intent.set_prefix(shard.prefix());
      intent.set_remove(true);
      batch.Put(store::IntentKey(name, number), intent.SerializeAsString());
    }
    left.shards.erase(number);
  }
  if (left.shards.empty()) {
    batch.Delete(store::DatasetKey(name));
  } else {
    Summarise(left.shards, &left.record);
    batch.Put(store::DatasetKey(name), left.record.SerializeAsString());
  }
  RADLADS_RETURN_IF_ERROR(Write(&batch));
  if (left.shards.empty()) {
    contents_.datasets_.erase(name);
  } else {
    contents_.datasets_[name] = std::move(left);
  }
  contents_.intents_.insert(removals.begin(), removals.end());
  for (const auto& [key, intent] : removals) RADLADS_RETURN_IF_ERROR(FinishRemoval(key));
  return absl::OkStatus();
}

absl::Status CatalogWriter::RemoveDataset(const std::string& name) {
  const auto found = contents_.datasets_.find(name);
  if (found == contents_.datasets_.end()) return contents_.Find(name).status();
  std::vector<int64_t> numbers;
  for (const auto& [number, shard] : found->second.shards) numbers.push_back(number);
  return RemoveShards(name, numbers);
}

absl::Status CatalogWriter::RemoveShard(const std::string& name, int64_t number) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, contents_.Find(name));
  if (!dataset->shards.count(number)) return NotFound("dataset ", name, " has no shard ", number);
  return RemoveShards(name, {number});
}

absl::Status CatalogWriter::RestampShard(const std::string& name, int64_t number) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, contents_.Find(name));
  const auto found = dataset->shards.find(number);
  if (found == dataset->shards.end()) return NotFound("dataset ", name, " has no shard ", number);
  catalog::Shard shard = found->second;
  RADLADS_RETURN_IF_ERROR(Restamp(contents_.PrefixOf(shard), &shard));
  rocksdb::WriteBatch batch;
  batch.Put(store::ShardKey(name, number), shard.SerializeAsString());
  RADLADS_RETURN_IF_ERROR(Write(&batch));
  contents_.datasets_[name].shards[number] = std::move(shard);
  return absl::OkStatus();
}

}  // namespace radlads
