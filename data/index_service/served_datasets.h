// The datasets of a catalog, opened when they are asked for and kept open.
#ifndef RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_
#define RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/token_sequence.h"

namespace radlads {

// Thread-safe. The catalog may be written meanwhile.
class ServedDatasets {
 public:
  explicit ServedDatasets(std::string catalog) : catalog_(std::move(catalog)) {}

  // Names of all datasets, as of now.
  absl::StatusOr<std::vector<std::string>> List() const;
  // As the catalog says now. Errors as TokenSequence::OpenCataloged.
  absl::StatusOr<std::shared_ptr<const TokenSequence>> Current(const std::string& name);
  // With this fingerprint, '' for any: without a look at the catalog where it is open. FAILED_PRECONDITION when the
  // dataset has another one now.
  absl::StatusOr<std::shared_ptr<const TokenSequence>> Get(const std::string& name, const std::string& fingerprint);

 private:
  const std::string catalog_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const TokenSequence>> open_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_SERVED_DATASETS_H_
