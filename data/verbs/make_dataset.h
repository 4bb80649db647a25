// What all verbs that write a dataset share: the identity of the work, its continuation after an interruption, and the
// description that is written beside the tokens.
#ifndef RADLADS_DATA_VERBS_MAKE_DATASET_H_
#define RADLADS_DATA_VERBS_MAKE_DATASET_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/binidx.h"
#include "data/dataset_info.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// A command and its inputs: equal jobs make equal bytes.
class DatasetJob {
 public:
  explicit DatasetJob(const std::string& verb) { json_["verb"] = verb; }
  template <typename T>
  void Set(const std::string& name, const T& value) {
    json_[name] = value;
  }
  // Names, sizes and times of last change of files.
  absl::Status SetFiles(const std::string& name, const std::vector<std::string>& paths);
  // The tokens of a dataset that the work begins with and replaces: not part of the hash.
  absl::Status SetBase(const TokenDataset& dataset);

  std::string ToJson() const;
  // 32 hexadecimal digits (base/fnv.h); empty when an input is a pipe, which is never known to be the same again.
  std::string Hash() const;

 private:
  nlohmann::json json_ = nlohmann::json::object(), base_;
  bool has_pipe_ = false;
};

struct OutputFlags {
  bool restart = false;
  double seconds_between_points = 2;
};
// --restart and --checkpoint_seconds.
void AddOutputFlags(CLI::App* verb, OutputFlags* flags);

// Adds documents to the writer and completes the description: tokenizer, vocabulary, end mark and sources.
using FillDataset = std::function<absl::Status(TokenDatasetWriter* writer, DatasetInfo* info)>;

// Makes the dataset PREFIX, unless it is there already and was made by the same job. Says on standard output what was
// done; an error says whether and how the work can be continued.
absl::Status MakeDataset(const std::string& prefix, TokenType type, const DatasetJob& job, const OutputFlags& flags,
                         const FillDataset& fill);

// The tokenizer that was named, or else the one that the dataset says it was made with. FAILED_PRECONDITION when the
// dataset was made with another.
absl::StatusOr<std::shared_ptr<const Tokenizer>> TokenizerFor(const std::string& named, const std::string& prefix,
                                                              const std::optional<DatasetInfo>& info);

// The dataset and what is known about it.
struct DescribedDataset {
  std::shared_ptr<const TokenDataset> tokens;
  std::optional<DatasetInfo> info;
};
absl::StatusOr<DescribedDataset> OpenDescribed(const std::string& prefix);

}  // namespace radlads

#endif  // RADLADS_DATA_VERBS_MAKE_DATASET_H_
