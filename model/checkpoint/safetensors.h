// safetensors, https://github.com/huggingface/safetensors: u64 length, JSON header, data. docs/formats/safetensors.md
//
// The reader trusts nothing: lengths, offsets and products are checked with overflow in mind, tensors must tile the
// data without holes or overlaps and end where the file ends, keys must be unique. Errors are INVALID_ARGUMENT and
// name the file, the tensor, what was found and what was expected.
#ifndef RADLADS_MODEL_CHECKPOINT_SAFETENSORS_H_
#define RADLADS_MODEL_CHECKPOINT_SAFETENSORS_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

// Headers longer than this are refused, as by the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

absl::StatusOr<std::unique_ptr<TensorSource>> OpenSafetensors(const std::string& path);

// The "__metadata__" of one .safetensors file; empty if it has none.
absl::StatusOr<std::map<std::string, std::string>> SafetensorsMetadata(const std::string& path);

// A tensor that is made piece by piece when its turn to be written comes.
struct TensorToWrite {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  // Gives rows [first, first + count) of the first dimension (one row if there is none); any strides, any device, any
  // dtype: they are converted to `dtype`.
  std::function<absl::StatusOr<at::Tensor>(int64_t first, int64_t count)> make;
};

// As much of a tensor as is in memory at a time, counted in fp32.
inline constexpr int64_t kPieceBytes = 64 << 20;

// Makes the tensor in pieces of at most `piece_bytes` (at least a row) and calls `use` with each: its elements in order,
// contiguous and in `dtype`. INVALID_ARGUMENT when finite numbers do not fit into fp16.
absl::Status ForEachPiece(const TensorToWrite& tensor, const std::function<absl::Status(const at::Tensor&)>& use,
                          int64_t piece_bytes = kPieceBytes);
// The same for what is written in another way: calls `use` with the rows of each piece.
absl::Status ForEachPieceOfRows(const std::vector<int64_t>& shape, int64_t piece_bytes,
                                const std::function<absl::Status(int64_t first, int64_t count)>& use);

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
using SafetensorsMetadataMap = std::map<std::string, std::string>;

// Called with the bytes of each piece that is written; for progress.
using BytesWritten = std::function<void(uint64_t)>;

// Writes `path` atomically. Tensors are laid out by falling alignment, then by name; the header is padded with
// spaces so that data begins at a multiple of 8. "format": "pt" is put into the metadata unless it is there, because
// transformers asks for it. Memory: that of one piece, whatever the tensors' sizes.
// INVALID_ARGUMENT: duplicate or reserved names, names that are not UTF-8, dtypes that the format lacks.
absl::Status WriteSafetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                              const SafetensorsMetadataMap& metadata = {}, const BytesWritten& written = {});
absl::Status WriteSafetensors(const std::string& path, const NamedTensors& tensors,
                              const SafetensorsMetadataMap& metadata = {});

// Writes `directory`/model.safetensors when all fits into `max_shard_bytes`, else shards
// model-00001-of-0000N.safetensors, filled in the order given, and model.safetensors.index.json, which is written
// last. A tensor larger than a shard gets one of its own. The directory must exist; FAILED_PRECONDITION if it holds
// weights of the other layout, which readers might prefer.
absl::Status WriteShardedSafetensors(const std::string& directory, std::vector<TensorToWrite> tensors,
                                     uint64_t max_shard_bytes, const SafetensorsMetadataMap& metadata = {},
                                     const BytesWritten& written = {});
absl::Status WriteShardedSafetensors(const std::string& directory, const NamedTensors& tensors, uint64_t max_shard_bytes);

// "F32" -> kFloat and back. Types that torch lacks (F6_E2M3, ...) and that safetensors lacks are UNIMPLEMENTED.
absl::StatusOr<at::ScalarType> SafetensorsDtype(const std::string& name);
absl::StatusOr<std::string> SafetensorsDtypeName(at::ScalarType dtype);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_SAFETENSORS_H_
