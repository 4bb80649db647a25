// The files behind a shard: what the catalog writes down about them, and whether they still are what it wrote.
#ifndef RADLADS_DATA_CATALOG_SHARD_FILES_H_
#define RADLADS_DATA_CATALOG_SHARD_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/catalog/catalog.pb.h"

namespace radlads {

// Opens PREFIX.bin and PREFIX.idx with all the checks of TokenDataset::Open, reads every byte of them once (on all
// cores, with progress on stderr), and takes tokenizer and sources from PREFIX.json where there is one. `prefix` is
// written down as it is given. Errors as TokenDataset::Open; INVALID_ARGUMENT for a PREFIX.json of other data.
absl::StatusOr<catalog::Shard> DescribeShard(const std::string& prefix);

// DATA_LOSS when a file of the pair at `prefix` is missing, or its size or time of change is not what `shard` says. The
// message names the file and `dataset`. Reads no content.
absl::Status CheckUnchanged(const std::string& dataset, const catalog::Shard& shard, const std::string& prefix);

// DATA_LOSS that names the file, the first block whose checksum differs, and `dataset`. Reads every byte; does not look
// at times.
absl::Status CheckContents(const std::string& dataset, const catalog::Shard& shard, const std::string& prefix);

// Writes today's times of change into `shard`; the caller knows that the contents are right.
absl::Status Restamp(const std::string& prefix, catalog::Shard* shard);

}  // namespace radlads

#endif  // RADLADS_DATA_CATALOG_SHARD_FILES_H_
