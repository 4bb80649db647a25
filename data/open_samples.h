// Opens what a configuration calls data_file.
#ifndef RADLADS_DATA_OPEN_SAMPLES_H_
#define RADLADS_DATA_OPEN_SAMPLES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/sample_source.h"

namespace radlads {

// `data_file` is
//   grpc://HOST:PORT/NAME   a dataset of an index service (docs/formats/index_service.md); `key_file`, unless '', is a
//                           file whose first line is its key
//   CATALOG/NAME            a dataset of a catalog (docs/formats/catalog.md), when CATALOG is one
//   PREFIX                  a pair PREFIX.bin and PREFIX.idx (docs/formats/binidx.md)
// Errors name it: NOT_FOUND, INVALID_ARGUMENT for too few tokens, DATA_LOSS for files that were changed or damaged.
absl::StatusOr<std::shared_ptr<const SampleSource>> OpenSamples(const std::string& data_file,
                                                                const SampleOptions& options,
                                                                const std::string& key_file);

}  // namespace radlads

#endif  // RADLADS_DATA_OPEN_SAMPLES_H_
