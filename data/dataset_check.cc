#include "data/dataset_check.h"

#include <algorithm>

#include "base/status.h"
#include "data/dataset_info.h"

namespace radlads {

DocumentStatistics DocumentLengths(const TokenDataset& dataset) {
  DocumentStatistics statistics;
  const int64_t documents = dataset.documents();
  if (documents == 0) return statistics;
  statistics.shortest = dataset.tokens();
  for (int64_t d = 0; d < documents; ++d) {
    const int64_t length = dataset.DocumentBegin(d + 1) - dataset.DocumentBegin(d);
    statistics.shortest = std::min(statistics.shortest, length);
    statistics.longest = std::max(statistics.longest, length);
  }
  statistics.mean = static_cast<double>(dataset.tokens()) / documents;
  return statistics;
}

std::vector<std::string> FindProblems(const TokenDataset& dataset, const DatasetExpectations& expected) {
  std::vector<std::string> problems;
  if (!dataset.has_complete_document_index()) {
    problems.push_back(Concatenate("the document index of ", IndexPath(dataset.prefix()), " has ", dataset.documents(),
                                   " entries, expected ", dataset.documents() + 1,
                                   " (it is read all the same here and by RADLADS; Megatron refuses it)"));
  }
  if (expected.vocabulary_size) {
    if (absl::Status status = dataset.CheckVocabulary(*expected.vocabulary_size); !status.ok()) {
      problems.emplace_back(status.message());
    }
  }
  int64_t empty = 0, first_empty = -1, unmarked = 0, first_unmarked = -1, first_last_id = 0;
  for (int64_t d = 0; d < dataset.documents(); ++d) {
    const int64_t end = dataset.DocumentBegin(d + 1);
    if (end == dataset.DocumentBegin(d)) {
      if (empty++ == 0) first_empty = d;
      continue;
    }
    if (!expected.eos_id) continue;
    int64_t last = 0;
    RADLADS_CHECK(dataset.Read(end - 1, std::span<int64_t>(&last, 1)).ok());
    if (last != *expected.eos_id && unmarked++ == 0) {
      first_unmarked = d;
      first_last_id = last;
    }
  }
  if (empty > 0) {
    problems.push_back(Concatenate(empty, " of ", dataset.documents(), " documents have no token, document ",
                                   first_empty, " the first of them"));
  }
  if (unmarked > 0) {
    problems.push_back(Concatenate(unmarked, " of ", dataset.documents(),
                                   " documents do not end with the end-of-text token ", *expected.eos_id, "; document ",
                                   first_unmarked, " is the first and ends with ", first_last_id));
  }
  const absl::StatusOr<std::optional<DatasetInfo>> info = ReadDatasetInfo(dataset.prefix());
  if (!info.ok()) {
    problems.emplace_back(info.status().message());
  } else if (*info && ((*info)->tokens != dataset.tokens() || (*info)->documents != dataset.documents())) {
    problems.push_back(Concatenate(DatasetInfoPath(dataset.prefix()), " describes ", (*info)->tokens, " tokens in ",
                                   (*info)->documents, " documents, found ", dataset.tokens(), " in ",
                                   dataset.documents(), "; it belongs to other data"));
  }
  return problems;
}

}  // namespace radlads
