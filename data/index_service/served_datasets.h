// The datasets of a catalog, opened when they are asked for and kept open.
#ifndef RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_
#define RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "data/catalog/catalog.h"
#include "data/token_sequence.h"

namespace radlads {

// Thread-safe. The catalog may be written meanwhile.
class ServedDatasets {
 public:
  explicit ServedDatasets(std::string catalog) : catalog_(std::move(catalog)) {}

  // All of the catalog, as it is now.
  absl::StatusOr<Catalog> List() const { return Catalog::Read(catalog_); }
  // What the catalog says of a dataset now, once it is open. Errors as TokenSequence::OpenCataloged.
  absl::StatusOr<CatalogDataset> Describe(const std::string& name);
  // The dataset with this fingerprint, '' for any: without a look at the catalog where it is open. FAILED_PRECONDITION
  // when the dataset has another one now.
  absl::StatusOr<std::shared_ptr<const TokenSequence>> Get(const std::string& name, const std::string& fingerprint);

 private:
  const std::string catalog_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const TokenSequence>> open_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_
