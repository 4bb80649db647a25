// A catalog of token datasets: a directory with a RocksDB that says which shards (pairs of files, see data/binidx.h)
// make up which dataset, by which tokenizer they were made, and what their contents must be.
// Format, crashes and versions: docs/formats/catalog.md.
//
// One process writes (CatalogWriter), any number read at the same time (Catalog).
#ifndef RADLADS_DATA_CATALOG_CATALOG_H_
#define RADLADS_DATA_CATALOG_CATALOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/catalog/catalog.pb.h"

namespace rocksdb {
class DB;
class WriteBatch;
}  // namespace rocksdb

namespace radlads {

namespace catalog_store {
class FileLock;
}  // namespace catalog_store

// A dataset and its shards in the order in which their tokens follow each other.
struct CatalogDataset {
  std::string name;
  catalog::Dataset record;
  std::map<int64_t, catalog::Shard> shards;  // by number
  // DATA_LOSS when a value of this dataset is damaged; others are not affected.
  absl::Status status;

  // "<tokens>-<checksum>": equal for equal contents, whatever the files are called.
  std::string Fingerprint() const;
};

// What a catalog holds at one moment. A value: it does not change and keeps nothing open.
class Catalog {
 public:
  // NOT_FOUND when `directory` is no catalog; FAILED_PRECONDITION for a version that this program does not read.
  static absl::StatusOr<Catalog> Read(const std::string& directory);

  // True for a directory that CatalogWriter::Open made.
  static bool IsCatalog(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const std::map<std::string, CatalogDataset>& datasets() const { return datasets_; }
  // NOT_FOUND names the nearest one; the dataset's own status when it is damaged.
  absl::StatusOr<const CatalogDataset*> Find(const std::string& name) const;
  // PREFIX of the shard's files.
  std::string PrefixOf(const catalog::Shard& shard) const;
  // The files of the dataset are there with the sizes and times of the record. Reads no content.
  absl::Status CheckUnchanged(const CatalogDataset& dataset) const;

 private:
  friend class CatalogWriter;
  std::string directory_;
  std::map<std::string, CatalogDataset> datasets_;
  // Of shards that were being written or removed: by key.
  std::map<std::string, catalog::Intent> intents_;
};

// "CATALOG/NAME" in its parts, when CATALOG is a catalog.
struct CatalogPath {
  std::string directory, name;
};
std::optional<CatalogPath> ParseCatalogPath(const std::string& path);

// Changes a catalog. Every change is one synced batch: it is there whole after a crash, or not at all. Not thread-safe.
class CatalogWriter {
 public:
  // Makes the catalog if there is none (in a directory that is absent or empty) and finishes or takes back what a
  // killed writer left (see repairs()). FAILED_PRECONDITION names the process that is writing already.
  static absl::StatusOr<std::unique_ptr<CatalogWriter>> Open(const std::string& directory);
  ~CatalogWriter();
  CatalogWriter(const CatalogWriter&) = delete;
  CatalogWriter& operator=(const CatalogWriter&) = delete;

  const Catalog& contents() const { return contents_; }
  // One line for each thing that Open() put in order or found amiss: shards of a killed writer that were published or
  // removed, files of shards that are gone or changed, files in shards/ that nobody owns (left alone).
  const std::vector<std::string>& repairs() const { return repairs_; }

  // Registers existing files without copying: `shard` is what DescribeShard says. They become the last shard of
  // `dataset`, which is made if there is none. INVALID_ARGUMENT for a bad name or no tokens, ALREADY_EXISTS when the
  // dataset has these files, FAILED_PRECONDITION when its other shards were made by another tokenizer.
  absl::Status Add(const std::string& dataset, catalog::Shard shard);

  // For files that the catalog is to own: Begin() gives the prefix to write them at (with TokenDatasetWriter, say, the
  // index last), Publish() makes them a shard. Whoever is killed in between leaves nothing half-done: the next Open()
  // publishes files that are whole and removes others. `known` says the tokenizer where the files will not.
  absl::StatusOr<std::string> Begin(const std::string& dataset, const catalog::Shard& known = {});
  absl::Status Publish(const std::string& prefix);
  // Removes what was begun.
  absl::Status Abandon(const std::string& prefix);

  // Takes shards out; files that the catalog owns are removed, imported ones stay. The last shard takes its dataset
  // along. NOT_FOUND when there is no such thing. A damaged dataset can be removed as a whole.
  absl::Status RemoveDataset(const std::string& dataset);
  absl::Status RemoveShard(const std::string& dataset, int64_t number);

  // Replaces the times of change in the record by those of the files, whose contents the caller has checked.
  absl::Status RestampShard(const std::string& dataset, int64_t number);

 private:
  CatalogWriter() = default;
  absl::Status OpenDatabase();
  absl::Status Repair();
  absl::Status RepairIntent(const std::string& key, const catalog::Intent& intent);
  void ReportFiles();
  absl::Status AddBatched(const std::string& dataset, catalog::Shard shard, const std::string& finished_intent);
  absl::Status RemoveShards(const std::string& dataset, const std::vector<int64_t>& numbers);
  absl::Status FinishRemoval(const std::string& key);
  absl::Status Write(rocksdb::WriteBatch* batch);

  Catalog contents_;
  std::unique_ptr<catalog_store::FileLock> writing_;
  std::unique_ptr<rocksdb::DB> database_;
  std::vector<std::string> repairs_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_CATALOG_CATALOG_H_
