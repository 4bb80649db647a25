// Registering token datasets in a catalog, for the verbs that do.
#ifndef RADLADS_DATA_VERBS_IMPORT_H_
#define RADLADS_DATA_VERBS_IMPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/catalog/catalog.h"

namespace radlads {

struct ImportFlags {
  std::vector<std::string> prefixes;
  std::string target, tokenizer;
  int64_t eos = -1;
  bool no_eos = false, copy = false;
};

// CATALOG/NAME in its parts; the catalog need not be there yet. INVALID_ARGUMENT for anything else.
absl::StatusOr<CatalogPath> SplitTarget(const std::string& target);

// Warns of what opening the catalog put in order, and returns the error if it did not open.
absl::Status LogRepairs(const absl::StatusOr<std::unique_ptr<CatalogWriter>>& writer);

// Registers the datasets at flags.prefixes as the last shards of flags.target.
absl::Status Import(const ImportFlags& flags);

// Registers the dataset that was written to `prefix`. Does nothing where the same files are registered already;
// DATA_LOSS when they were replaced since.
absl::Status RegisterBuilt(const std::string& prefix, const std::string& target);

}  // namespace radlads

#endif  // RADLADS_DATA_VERBS_IMPORT_H_
