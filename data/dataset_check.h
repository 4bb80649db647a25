// What make_binidx says about a dataset beyond what TokenDataset::Open refuses.
#ifndef RADLADS_DATA_DATASET_CHECK_H_
#define RADLADS_DATA_DATASET_CHECK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/binidx.h"

namespace radlads {

struct DatasetExpectations {
  std::optional<int64_t> vocabulary_size;
  std::optional<int64_t> eos_id;  // ends every document
};

// One line for each rule that the dataset breaks, with a count and the first place: ids outside of the vocabulary,
// documents that are empty or do not end with eos_id, an incomplete document index, a description (PREFIX.json) of
// other data, tokens that do not have the checksum in it.
std::vector<std::string> FindProblems(const TokenDataset& dataset, const DatasetExpectations& expected,
                                      bool show_progress = false);

}  // namespace radlads

#endif  // RADLADS_DATA_DATASET_CHECK_H_
