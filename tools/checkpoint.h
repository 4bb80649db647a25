// A model in files of any format, for the programs that copy models.
#ifndef RADLADS_TOOLS_CHECKPOINT_H_
#define RADLADS_TOOLS_CHECKPOINT_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "configs/config.pb.h"
#include "data/tokenizer/tokenizer_files.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

struct Checkpoint {
  std::string path;    // of the directory or file that was read
  ModelConfig config;  // every size resolved
  // The parameters of such a model, by their Hugging Face names and in the order of its layers, whatever the file's, and
  // where they are read from.
  std::vector<TensorInfo> parameters;
  std::shared_ptr<const TensorSource> tensors;
  TokenizerFiles files;  // with generation_config.json
};

// What a file of weights alone does not say.
struct CheckpointDescription {
  // A config.json, or YAML files that are merged (configs/teachers/*.yaml, configs/students/*.yaml). Empty: what lies
  // in or beside `path`.
  std::vector<std::string> configs;
  // Directory of the tokenizer's files, which are then taken whatever `path` says of a tokenizer. Empty: what lies in or
  // beside `path`.
  std::string tokenizer;
};

// `path`: a Hugging Face directory, a run of //distill:train (its final/, else its newest step-*/), a GGUF or a .pth
// file. Strict: INVALID_ARGUMENT lists every tensor that the architecture lacks, misses or has in another shape, and
// refuses a `description.tokenizer` whose vocabulary has ids beyond the rows of the embedding. Added tokens beyond them
// are warned of.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& path, const CheckpointDescription& description = {});

// FAILED_PRECONDITION unless `to` can be made without losing anything: it is not there or an empty directory, or
// `force` is set and it is a model directory that does not hold `from`, or an ordinary file if `is_file`.
absl::Status CheckTarget(const std::string& from, const std::string& to, bool is_file, bool force);

// The dtype of a flag (keep, fp32, bf16, fp16) for a tensor of a file: keep is the file's own, fp32 for quantised types.
at::ScalarType PlainDtype(std::string_view flag, const TensorInfo& info);
// The tensor in `dtype`. `source` must outlive the result.
TensorToWrite PlainTensor(const TensorSource& source, const TensorInfo& info, at::ScalarType dtype);
// fp32, bf16, fp16 as flags call them, others as torch does.
std::string DtypeName(at::ScalarType dtype);

// "5GB", "200MB", "1.5 GiB", "800" (bytes).
absl::StatusOr<uint64_t> ParseSize(const std::string& text);

}  // namespace radlads

#endif  // RADLADS_TOOLS_CHECKPOINT_H_
