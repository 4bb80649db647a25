#include "data/catalog/catalog.h"

#include <cstdio>
#include <filesystem>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/nearest_name.h"
#include "base/status.h"
#include "data/catalog/catalog_store.h"
#include "data/catalog/shard_files.h"

namespace radlads {

namespace store = catalog_store;

std::string CatalogDataset::Fingerprint() const {
  std::string contents;
  for (const auto& [number, shard] : shards) {
    contents += Concatenate(shard.token_type(), " ", shard.tokens());
    for (const catalog::File* file : {&shard.bin(), &shard.idx()}) {
      for (const uint32_t checksum : file->crc32c()) contents += Concatenate(" ", checksum);
    }
    contents += "\n";
  }
  char digits[16];
  std::snprintf(digits, sizeof(digits), "%08x", Crc32c(contents));
  return Concatenate(record.tokens(), "-", digits);
}

bool Catalog::IsCatalog(const std::string& directory) {
  return FileExists(store::FilesLockPath(directory)) && FileExists(JoinPath(store::DatabasePath(directory), "CURRENT"));
}

absl::StatusOr<Catalog> Catalog::Read(const std::string& directory) {
  if (!IsCatalog(directory)) {
    return NotFound("there is no catalog at ", directory, "; make_binidx import PREFIX --catalog ", directory,
                    "/NAME makes one");
  }
  Catalog catalog;
  catalog.directory_ = directory;
  RADLADS_ASSIGN_OR_RETURN(const auto lock,
                           store::FileLock::Acquire(store::FilesLockPath(directory), store::FileLock::Mode::kShared));
  rocksdb::DB* opened = nullptr;
  const std::string path = store::DatabasePath(directory);
  RADLADS_RETURN_IF_ERROR(
      store::FromRocksDb(rocksdb::DB::OpenForReadOnly(store::DatabaseOptions(), path, &opened), path));
  const std::unique_ptr<rocksdb::DB> database(opened);
  RADLADS_RETURN_IF_ERROR(store::Load(database.get(), directory, &catalog.datasets_, &catalog.intents_));
  return catalog;
}

absl::StatusOr<const CatalogDataset*> Catalog::Find(const std::string& name) const {
  const auto found = datasets_.find(name);
  if (found != datasets_.end()) {
    RADLADS_RETURN_IF_ERROR(found->second.status);
    return &found->second;
  }
  std::vector<std::string> names;
  for (const auto& [other, dataset] : datasets_) names.push_back(other);
  const std::string nearest = NearestName(name, names);
  std::string known;
  for (size_t i = 0; i < names.size() && i < 20; ++i) known += (i == 0 ? "" : ", ") + names[i];
  return NotFound("the catalog ", directory_, " has no dataset '", name, "'",
                  nearest.empty() ? "" : "; did you mean " + nearest + "?",
                  names.empty() ? "; it is empty" : "; it has " + known, names.size() > 20 ? ", ..." : "");
}

std::string Catalog::PrefixOf(const catalog::Shard& shard) const {
  return shard.prefix().starts_with('/') ? shard.prefix() : JoinPath(directory_, shard.prefix());
}

absl::Status Catalog::CheckUnchanged(const CatalogDataset& dataset) const {
  RADLADS_RETURN_IF_ERROR(dataset.status);
  for (const auto& [number, shard] : dataset.shards) {
    RADLADS_RETURN_IF_ERROR(radlads::CheckUnchanged(JoinPath(directory_, dataset.name), shard, PrefixOf(shard)));
  }
  return absl::OkStatus();
}

std::optional<CatalogPath> ParseCatalogPath(const std::string& path) {
  const std::filesystem::path parts = std::filesystem::path(path).lexically_normal();
  const std::string directory = parts.parent_path().empty() ? "." : parts.parent_path().string();
  if (!parts.has_filename() || !Catalog::IsCatalog(directory)) return std::nullopt;
  return CatalogPath{directory, parts.filename().string()};
}

}  // namespace radlads
