// What a token dataset looks like: lengths of documents and where they come from, as text and as an HTML page.
#ifndef RADLADS_DATA_DATASET_REPORT_H_
#define RADLADS_DATA_DATASET_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/binidx.h"
#include "data/dataset_info.h"

namespace radlads {

struct DocumentStatistics {
  int64_t shortest = 0, longest = 0;
  double mean = 0;
  int64_t median = 0;        // of the documents
  int64_t token_median = 0;  // half of the tokens stand in documents of at most this length
  // Documents of [low, 2 * low) tokens, low a power of two; the first bucket holds empty documents alone (low = 0).
  struct Bucket {
    int64_t low = 0, documents = 0, tokens = 0;
  };
  std::vector<Bucket> buckets;  // from the shortest to the longest, none left out between them
};
DocumentStatistics DocumentLengths(const TokenDataset& dataset);

struct DatasetReport {
  std::string prefix, dtype;
  int64_t tokens = 0, documents = 0;
  DocumentStatistics lengths;
  std::optional<DatasetInfo> info;  // tokenizer and sources, where they are known

  std::string ToText() const;
  std::string ToHtml() const;  // a page that loads nothing from elsewhere
};
DatasetReport ReportOn(const TokenDataset& dataset, std::optional<DatasetInfo> info);

}  // namespace radlads

#endif  // RADLADS_DATA_DATASET_REPORT_H_
