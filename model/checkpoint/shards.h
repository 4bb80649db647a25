// A checkpoint in several files with an index: model.safetensors.index.json, pytorch_model.bin.index.json.
#ifndef RADLADS_MODEL_CHECKPOINT_SHARDS_H_
#define RADLADS_MODEL_CHECKPOINT_SHARDS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

using OpenShard = std::function<absl::StatusOr<std::unique_ptr<TensorSource>>(const std::string& path)>;

// The shards lie beside the index, under plain names. Every tensor that the index maps must be in its shard; what a shard
// holds beyond that is not visible, but no tensor may be in two. "metadata" may be missing. INVALID_ARGUMENT for anything
// else, NOT_FOUND for a shard that is not there, and the errors of `open`.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenShards(const std::string& index_path, const OpenShard& open);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_SHARDS_H_
