// What a writer does with the leftovers of one that was killed. See "Crashes" in docs/formats/catalog.md.
#include <rocksdb/write_batch.h>

#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/catalog_store.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
namespace store = catalog_store;

// PREFIX.bin, PREFIX.idx, PREFIX.json and what their writers leave beside them when they are killed.
void RemoveFiles(const std::string& prefix) {
  std::error_code ignored;
  const std::string stem = fs::path(prefix).filename().string() + ".";
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(prefix).parent_path(), ignored)) {
    if (entry.path().filename().string().starts_with(stem)) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

absl::Status CatalogWriter::Repair() {
  const std::map<std::string, catalog::Intent> intents = contents_.intents_;
  for (const auto& [key, intent] : intents) RADLADS_RETURN_IF_ERROR(RepairIntent(key, intent));
  return absl::OkStatus();
}

absl::Status CatalogWriter::RepairIntent(const std::string& key, const catalog::Intent& intent) {
  const std::string prefix = JoinPath(contents_.directory_, intent.prefix());
  if (intent.remove()) {
    repairs_.push_back(prefix + ": the removal of its files was finished");
    return FinishRemoval(key);
  }
  // The index is renamed last: with it, the files are whole.
  if (FileExists(IndexPath(prefix))) {
    if (const absl::Status published = Publish(prefix); published.ok()) {
      repairs_.push_back(prefix + ": was written whole by a process that was killed, and is published now");
      return absl::OkStatus();
    } else if (!absl::IsDataLoss(published) && !absl::IsInvalidArgument(published) && !absl::IsNotFound(published)) {
      repairs_.push_back(Concatenate(
          prefix, ": was written whole by a process that was killed, but cannot be published: ", published.message()));
      return absl::OkStatus();
    }
  }
  repairs_.push_back(prefix + ": was half written by a process that was killed, and is removed");
  return FinishRemoval(key);
}

void CatalogWriter::ReportFiles() {
  std::set<std::string> owned;
  for (const auto& [name, dataset] : contents_.datasets_) {
    if (!dataset.status.ok()) repairs_.emplace_back(dataset.status.message());
    for (const auto& [number, shard] : dataset.shards) {
      owned.insert(fs::path(shard.prefix()).filename().string());
    }
    if (const absl::Status status = contents_.CheckUnchanged(dataset); dataset.status.ok() && !status.ok()) {
      repairs_.emplace_back(status.message());
    }
  }
  for (const auto& [key, intent] : contents_.intents_) owned.insert(fs::path(intent.prefix()).filename().string());
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(store::ShardsPath(contents_.directory_), ignored)) {
    const std::string name = entry.path().filename().string();
    bool known = false;
    for (const std::string& stem : owned) known |= name.starts_with(stem + ".");
    if (!known) {
      repairs_.push_back(entry.path().string() +
                         ": belongs to no shard of the catalog; it is left alone, remove it if "
                         "you do not need it");
    }
  }
}

// Files first: the intent goes when there is nothing left to do.
absl::Status CatalogWriter::FinishRemoval(const std::string& key) {
  RemoveFiles(JoinPath(contents_.directory_, contents_.intents_.at(key).prefix()));
  rocksdb::WriteBatch batch;
  batch.Delete(key);
  RADLADS_RETURN_IF_ERROR(Write(&batch));
  contents_.intents_.erase(key);
  return absl::OkStatus();
}

}  // namespace radlads
