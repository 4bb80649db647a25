#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_format.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;
using safetensors::Type;

uint64_t BytesOf(const TensorToWrite& tensor) {
  uint64_t bytes = c10::elementSize(tensor.dtype);
  for (int64_t size : tensor.shape) bytes *= size;
  return bytes;
}

absl::Status CheckTensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  std::set<std::string_view> names;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.name == "__metadata__") return InvalidArgument("cannot write ", path, ": the name __metadata__ is reserved");
    if (!IsUtf8(tensor.name)) return InvalidArgument("cannot write ", path, ": a tensor's name is not UTF-8");
    if (!names.insert(tensor.name).second) return InvalidArgument("cannot write ", path, ": two tensors are called ", tensor.name);
    RADLADS_RETURN_IF_ERROR(Annotate(SafetensorsDtypeName(tensor.dtype).status(), Concatenate("cannot write ", tensor.name, " to ", path)));
    if (tensor.dtype == at::kFloat4_e2m1fn_x2 && tensor.shape.empty()) {
      return InvalidArgument("cannot write ", path, ": ", tensor.name, " is F4 without a dimension");
    }
  }
  return absl::OkStatus();
}

std::string HeaderText(const std::vector<TensorToWrite>& tensors, const SafetensorsMetadataMap& metadata) {
  // Built by hand: an ordered_json of thousands of tensors takes quadratic time.
  SafetensorsMetadataMap all = metadata;
  all.emplace("format", "pt");
  std::string text = "{\"__metadata__\":" + nlohmann::json(all).dump();
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const Type& type = *safetensors::FindType(tensor.dtype);
    std::vector<int64_t> shape = tensor.shape;
    if (IsPacked(type)) shape.back() *= 2;
    const uint64_t end = offset + BytesOf(tensor);
    const ordered_json entry = {{"dtype", type.name}, {"shape", shape}, {"data_offsets", {offset, end}}};
    text += "," + nlohmann::json(tensor.name).dump() + ":" + entry.dump();
    offset = end;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

std::vector<TensorToWrite> Deferred(const NamedTensors& tensors) {
  std::vector<TensorToWrite> deferred;
  for (const auto& [name, tensor] : tensors) {
    deferred.push_back({name, tensor.scalar_type(), tensor.sizes().vec(), [tensor = tensor](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> { return RowsOf(tensor, first, count); }});
  }
  return deferred;
}

}  // namespace

absl::Status ForEachPieceOfRows(const std::vector<int64_t>& shape, int64_t piece_bytes,
                                const std::function<absl::Status(int64_t first, int64_t count)>& use) {
  const int64_t elements = c10::multiply_integers(shape), rows = shape.empty() ? 1 : shape[0];
  if (elements == 0) return absl::OkStatus();
  const int64_t step = std::max<int64_t>(piece_bytes / sizeof(float) / (elements / rows), 1);
  for (int64_t first = 0; first < rows; first += step) RADLADS_RETURN_IF_ERROR(use(first, std::min(step, rows - first)));
  return absl::OkStatus();
}

absl::Status ForEachPiece(const TensorToWrite& entry, const std::function<absl::Status(const at::Tensor&)>& use,
                          int64_t piece_bytes) {
  return ForEachPieceOfRows(entry.shape, piece_bytes, [&](int64_t first, int64_t count) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor made, entry.make(first, count));
    std::vector<int64_t> shape = entry.shape;
    if (!shape.empty()) shape[0] = count;
    RADLADS_CHECK(made.sizes() == at::IntArrayRef(shape)) << entry.name << " is not of the shape announced";
    const at::Tensor part = made.detach().resolve_conj().resolve_neg().cpu();
    const at::Tensor piece = part.to(entry.dtype).contiguous();
    if (entry.dtype == at::kHalf && part.scalar_type() != at::kHalf &&
        !at::isfinite(piece).logical_or(at::isfinite(part).logical_not()).all().item<bool>()) {
      return InvalidArgument(entry.name, " holds numbers beyond the range of fp16 (65504); write it as bf16 or fp32");
    }
    return use(piece);
  });
}

absl::Status WriteSafetensors(const std::string& path, std::vector<TensorToWrite> tensors, const SafetensorsMetadataMap& metadata,
                              const BytesWritten& written) {
  RADLADS_RETURN_IF_ERROR(CheckTensors(path, tensors));
  for (const auto& [key, value] : metadata) {
    if (!IsUtf8(key) || !IsUtf8(value)) return InvalidArgument("cannot write ", path, ": its metadata is not UTF-8");
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    const int width_a = safetensors::FindType(a.dtype)->bits, width_b = safetensors::FindType(b.dtype)->bits;
    return width_a != width_b ? width_a > width_b : a.name < b.name;
  });
  const std::string header = HeaderText(tensors, metadata);
  if (header.size() > kMaxSafetensorsHeader) {
    return InvalidArgument("cannot write ", path, ": its header would take ", header.size(), " bytes, at most ",
                           kMaxSafetensorsHeader, " are allowed; write shards");
  }
  RADLADS_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  const uint64_t length = header.size();
  RADLADS_RETURN_IF_ERROR(file->Append(&length, sizeof(length)));
  RADLADS_RETURN_IF_ERROR(file->Append(header));
  for (TensorToWrite& entry : tensors) {
    RADLADS_RETURN_IF_ERROR(ForEachPiece(entry, [&](const at::Tensor& piece) {
      if (written) written(piece.nbytes());
      return file->Append(piece.const_data_ptr(), piece.nbytes());
    }));
    entry.make = nullptr;  // what it holds is no longer needed
  }
  return file->Commit();
}

absl::Status WriteSafetensors(const std::string& path, const NamedTensors& tensors, const SafetensorsMetadataMap& metadata) {
  return WriteSafetensors(path, Deferred(tensors), metadata);
}

absl::Status WriteShardedSafetensors(const std::string& directory, std::vector<TensorToWrite> tensors, uint64_t max_shard_bytes,
                                     const SafetensorsMetadataMap& metadata, const BytesWritten& written) {
  RADLADS_RETURN_IF_ERROR(CheckTensors(directory, tensors));
  std::vector<std::vector<TensorToWrite>> shards;
  uint64_t filled = 0, total = 0;
  for (TensorToWrite& tensor : tensors) {
    const uint64_t bytes = BytesOf(tensor);
    if (shards.empty() || filled + bytes > max_shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    total += bytes;
    shards.back().push_back(std::move(tensor));
  }
  const std::string single = JoinPath(directory, "model.safetensors");
  const std::string index_path = JoinPath(directory, "model.safetensors.index.json");
  const bool is_single = shards.size() <= 1;
  if (const std::string& other = is_single ? index_path : single; FileExists(other)) {
    return FailedPrecondition(other, " is there already, and the weights to write have the other layout (",
                              is_single ? "one file" : "shards", "); remove it or write to another directory");
  }
  if (is_single) {
    if (shards.empty()) shards.emplace_back();
    return WriteSafetensors(single, std::move(shards[0]), metadata, written);
  }
  ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", nlohmann::json::object()}};
  std::map<std::string, std::string> weight_map;
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    for (const TensorToWrite& tensor : shards[i]) weight_map[tensor.name] = name;
    RADLADS_RETURN_IF_ERROR(WriteSafetensors(JoinPath(directory, name), std::move(shards[i]), metadata, written));
  }
  index["weight_map"] = weight_map;
  return WriteFileAtomically(index_path, index.dump(2) + "\n");
}

absl::Status WriteShardedSafetensors(const std::string& directory, const NamedTensors& tensors, uint64_t max_shard_bytes) {
  return WriteShardedSafetensors(directory, Deferred(tensors), max_shard_bytes);
}

}  // namespace radlads
