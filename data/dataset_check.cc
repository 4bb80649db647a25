#include "data/dataset_check.h"

#include <algorithm>
#include <functional>

#include "base/crc32c.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/dataset_info.h"

namespace radlads {

namespace {

constexpr int64_t kTokensPerStep = 1 << 22;

uint32_t ChecksumOf(const TokenDataset& dataset, const std::function<void(int64_t tokens)>& progress) {
  uint32_t crc32c = 0;
  for (int64_t first = 0; first < dataset.tokens(); first += kTokensPerStep) {
    const int64_t count = std::min(kTokensPerStep, dataset.tokens() - first);
    const std::span<const uint8_t> bytes = dataset.Stored(first, count);
    crc32c = Crc32c({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, crc32c);
    progress(count);
  }
  return crc32c;
}

}  // namespace

std::vector<std::string> FindProblems(const TokenDataset& dataset, const DatasetExpectations& expected,
                                      bool show_progress) {
  std::vector<std::string> problems;
  const absl::StatusOr<std::optional<DatasetInfo>> info = ReadDatasetInfo(dataset.prefix());
  const bool has_checksum = info.ok() && *info && (*info)->tokens_crc32c;
  // Each goes through all tokens.
  std::optional<Progress> progress;
  const auto start = [&](const char* what) {
    progress.reset();
    if (show_progress) progress.emplace(what, dataset.tokens(), "tokens");
  };
  const auto advance = [&](int64_t tokens) {
    if (progress) progress->Advance(tokens);
  };
  if (!dataset.has_complete_document_index()) {
    problems.push_back(Concatenate("the document index of ", IndexPath(dataset.prefix()), " has ", dataset.documents(),
                                   " entries, expected ", dataset.documents() + 1,
                                   " (it is read all the same here and by RADLADS; Megatron refuses it)"));
  }
  if (expected.vocabulary_size) {
    start("checking ids");
    if (absl::Status status = dataset.CheckVocabulary(*expected.vocabulary_size, advance); !status.ok()) {
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
  if (!info.ok()) {
    problems.emplace_back(info.status().message());
  } else if (*info && ((*info)->tokens != dataset.tokens() || (*info)->documents != dataset.documents())) {
    problems.push_back(Concatenate(DatasetInfoPath(dataset.prefix()), " describes ", (*info)->tokens, " tokens in ",
                                   (*info)->documents, " documents, found ", dataset.tokens(), " in ",
                                   dataset.documents(), "; it belongs to other data"));
  } else if (has_checksum) {
    start("checking the checksum");
    if (const uint32_t found = ChecksumOf(dataset, advance); found != *(*info)->tokens_crc32c) {
      problems.push_back(Concatenate(TokensPath(dataset.prefix()), " has the checksum (CRC-32C) ", found, ", expected ",
                                     *(*info)->tokens_crc32c, " from ", DatasetInfoPath(dataset.prefix()),
                                     "; tokens have changed since they were written: copy or build the dataset again"));
    }
  }
  return problems;
}

}  // namespace radlads
