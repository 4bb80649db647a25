// Documents of one or several token datasets copied to another, in order; an interrupted copy is continued.
#ifndef RADLADS_DATA_DATASET_COPY_H_
#define RADLADS_DATA_DATASET_COPY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "data/binidx.h"

namespace radlads {

// The documents [first, last) of a dataset.
struct DocumentRange {
  std::shared_ptr<const TokenDataset> from;
  int64_t first = 0, last = 0;
};

// Looks at a document on its way, and may change it; false leaves it out.
using DocumentFilter = std::function<bool(std::vector<int32_t>* tokens)>;

struct CopyOptions {
  std::vector<DocumentRange> ranges;
  DocumentFilter filter;  // none: documents are copied as they are
  bool show_progress = false;
};

// Adds the documents to `writer`. When the writer continues an interrupted copy, so does this; afterwards the writer
// has a point, if it has a job. INVALID_ARGUMENT when an id does not fit the writer's token type. CANCELLED after
// `stop` was requested: then a point has been reached from which the work can be continued.
absl::Status CopyDocuments(const CopyOptions& options, TokenDatasetWriter* writer, std::stop_token stop = {});

// A number from [0, 1) that depends on the ids of a document alone: CRC-32C of the ids as little-endian int32, divided
// by 2^32. Equal documents fall on the same side of a split.
double DocumentFraction(std::span<const int32_t> tokens);

}  // namespace radlads

#endif  // RADLADS_DATA_DATASET_COPY_H_
