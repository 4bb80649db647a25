// The tokens of one dataset, which may lie in several pairs of files, as one sequence.
#ifndef RADLADS_DATA_TOKEN_SEQUENCE_H_
#define RADLADS_DATA_TOKEN_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"

namespace radlads {

// What is known of a dataset besides its tokens. Empty or 0 where it does not say.
struct DatasetDescription {
  std::string name;  // as it was opened: a prefix, CATALOG/NAME or grpc://HOST:PORT/NAME
  int64_t tokens = 0, documents = 0;
  std::string tokenizer;       // where it was read from, as it was named
  std::string tokenizer_hash;  // ids mean the same where the hashes are equal
  int64_t vocabulary_size = 0;
  std::optional<int64_t> eos_id;  // ends every document
  std::string fingerprint;        // equal for equal contents; only datasets of a catalog have one
};

// Immutable: safe to share between threads. The files must not be truncated while it is open.
class TokenSequence {
 public:
  // The pair PREFIX.bin and PREFIX.idx. Errors as TokenDataset::Open.
  static absl::StatusOr<std::shared_ptr<const TokenSequence>> OpenPair(const std::string& prefix);
  // All shards of a dataset, in the order of their numbers. NOT_FOUND when there is none of this name, DATA_LOSS when a
  // file was changed or removed behind the catalog (the message names file and dataset).
  static absl::StatusOr<std::shared_ptr<const TokenSequence>> OpenCataloged(const Catalog& catalog,
                                                                            const std::string& name);

  const DatasetDescription& description() const { return description_; }
  int64_t tokens() const { return begins_.back(); }
  // Whether all shards store tokens of one or two bytes without sign.
  bool FitsUint16() const;
  int64_t shards() const { return static_cast<int64_t>(shards_.size()); }

  // Copies the tokens [first, first + out.size()) across the ends of documents and shards. OUT_OF_RANGE when they do
  // not exist.
  absl::Status Read(int64_t first, std::span<int32_t> out) const;

  // Where within the tokens [first, first + count) a document begins, as offsets from `first`, rising. Empty documents
  // are left out. OUT_OF_RANGE as Read.
  absl::StatusOr<std::vector<int64_t>> DocumentBegins(int64_t first, int64_t count) const;

 private:
  TokenSequence() = default;
  void Append(std::shared_ptr<const TokenDataset> shard);
  absl::Status CheckRange(int64_t first, int64_t count) const;
  size_t ShardOf(int64_t token) const;

  DatasetDescription description_;
  std::vector<std::shared_ptr<const TokenDataset>> shards_;  // at least one
  std::vector<int64_t> begins_ = {0};                        // begins_[i]: first token of shard i; then their sum
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKEN_SEQUENCE_H_
