// PREFIX.json beside a token dataset: what it was made from and with. Optional: Megatron and RADLADS files have none.
// Fields: docs/formats/binidx.md.
#ifndef RADLADS_DATA_DATASET_INFO_H_
#define RADLADS_DATA_DATASET_INFO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// One of the inputs of a dataset. Counts are -1 where they are not known.
struct DatasetSource {
  std::string name;
  int64_t documents = 0, tokens = 0;
  int64_t text_bytes = 0;  // decoded, as it was tokenised
};

struct DatasetInfo {
  std::string tokenizer;       // where the tokenizer was read from, as it was named
  std::string tokenizer_hash;  // Tokenizer::Hash(); ids mean the same where the hashes are equal
  int64_t vocabulary_size = 0;
  std::optional<int64_t> eos_id;       // ends every document; nothing when documents are not marked
  std::vector<DatasetSource> sources;  // in the order of their documents
  int64_t tokens = 0, documents = 0;
  std::optional<uint32_t> tokens_crc32c;  // CRC-32C of PREFIX.bin
  std::string job;                        // hash of the command and its inputs; equal hashes, equal datasets
  std::string created;                    // UTC, ISO 8601

  std::string ToJson() const;
};

std::string DatasetInfoPath(const std::string& prefix);  // PREFIX.json

// Nothing when the file does not exist; INVALID_ARGUMENT when it is not such a description.
absl::StatusOr<std::optional<DatasetInfo>> ReadDatasetInfo(const std::string& prefix);

// FAILED_PRECONDITION when the dataset is known to be made with another tokenizer than the one with `tokenizer_hash`.
// OK when the hashes agree or the dataset does not say.
absl::Status CheckTokenizer(const std::string& prefix, const std::string& tokenizer, const std::string& tokenizer_hash);

}  // namespace radlads

#endif  // RADLADS_DATA_DATASET_INFO_H_
