#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/mapped_tensor.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_format.h"

namespace radlads {
namespace {

using nlohmann::json;
using safetensors::Type;

// header > tensor > shape is as deep as the format goes.
constexpr int kMaxDepth = 4;

class SafetensorsFile : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path) {
    std::unique_ptr<SafetensorsFile> source(new SafetensorsFile);
    RADLADS_ASSIGN_OR_RETURN(source->file_, MappedFile::Open(path));
    RADLADS_RETURN_IF_ERROR(source->ReadHeader());
    return source;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return entries_.contains(std::string(name)); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  absl::StatusOr<at::Tensor> Read(const std::string& name) const override { return View(name, 0, std::nullopt); }
  absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const override {
    return View(name, first, count);
  }

 private:
  struct Entry {
    size_t index;     // into tensors_
    uint64_t offset;  // in the file
    const Type* type;
  };

  // `count` rows, or all.
  absl::StatusOr<at::Tensor> View(const std::string& name, int64_t first, std::optional<int64_t> count) const {
    auto found = entries_.find(name);
    if (found == entries_.end()) return NotFound(file_->path(), " has no tensor ", name);
    const Entry& entry = found->second;
    const TensorInfo& info = tensors_[entry.index];
    std::vector<int64_t> shape = info.shape;
    if (entry.type->dtype == at::ScalarType::Undefined) {
      return Unimplemented(file_->path(), ": tensor ", name, " is ", entry.type->name, ", which torch does not have");
    }
    if (IsPacked(*entry.type)) {
      if (shape.empty() || shape.back() % 2 != 0) {
        return Unimplemented(file_->path(), ": tensor ", name, " is F4 with an odd row; torch packs two in a byte");
      }
      shape.back() /= 2;
    }
    if (entry.type->dtype == at::kBool) {
      const auto bytes = file_->bytes().subspan(entry.offset, info.bytes);
      if (std::any_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte > 1; })) {
        return InvalidArgument(file_->path(), ": tensor ", name, " is BOOL but holds bytes other than 0 and 1");
      }
    }
    uint64_t offset = entry.offset;
    if (count && !shape.empty() && info.bytes > 0) {
      offset += info.bytes / shape[0] * first;
      shape[0] = *count;
    }
    return MappedTensor(file_, offset, shape, entry.type->dtype);
  }

  absl::Status ReadHeader();
  absl::Status ReadMetadata(const json& value);
  // Checks one tensor by itself; begin and end are relative to the data.
  absl::Status ReadTensor(const std::string& name, const json& value, TensorInfo& info, const Type*& type, uint64_t& begin,
                          uint64_t& end) const;

  std::shared_ptr<const MappedFile> file_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

absl::Status SafetensorsFile::ReadMetadata(const json& value) {
  if (value.is_null()) return absl::OkStatus();  // as the library reads it
  if (!value.is_object()) return InvalidArgument(file_->path(), ": __metadata__ is neither an object nor null");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return InvalidArgument(file_->path(), ": __metadata__ may hold strings only, but \"", key, "\" is not one");
    metadata_[key] = text.get<std::string>();
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::ReadTensor(const std::string& name, const json& value, TensorInfo& info, const Type*& type,
                                         uint64_t& begin, uint64_t& end) const {
  const std::string where = Concatenate(file_->path(), ": tensor \"", name, "\"");
  if (!value.is_object()) return InvalidArgument(where, " is not described by an object");
  for (const auto& [key, unused] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") return InvalidArgument(where, ": unknown key \"", key, "\"");
  }
  if (value.size() != 3) return InvalidArgument(where, ": expected dtype, shape and data_offsets");

  if (!value["dtype"].is_string()) return InvalidArgument(where, ": dtype is not a string");
  info.dtype = value["dtype"].get<std::string>();
  type = safetensors::FindType(std::string_view(info.dtype));
  if (type == nullptr) {
    std::string known;
    for (const Type& candidate : safetensors::Types()) known += (known.empty() ? "" : ", ") + std::string(candidate.name);
    return InvalidArgument(where, ": unknown dtype \"", info.dtype, "\"; known are ", known);
  }

  const json& shape = value["shape"];
  if (!shape.is_array()) return InvalidArgument(where, ": shape is not an array");
  uint64_t bits = type->bits;
  int64_t extent = type->bits;  // bits if no size were 0; torch's strides must be able to hold it
  bool overflow = false;
  for (const json& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > INT64_MAX) {
      return InvalidArgument(where, ": shape holds ", size.dump(), ", expected whole numbers from 0 to 2^63-1");
    }
    info.shape.push_back(size.get<uint64_t>());
    bits *= info.shape.back();
    overflow |= __builtin_mul_overflow(extent, std::max<int64_t>(info.shape.back(), 1), &extent);
  }
  if (overflow) return InvalidArgument(where, ": a shape of ", ShapeString(info.shape), " does not fit into 64 bits");
  if (bits % 8 != 0) return InvalidArgument(where, ": ", bits, " bits are not whole bytes");
  info.bytes = bits / 8;

  const json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return InvalidArgument(where, ": data_offsets must be two whole numbers");
  }
  begin = offsets[0].get<uint64_t>();
  end = offsets[1].get<uint64_t>();
  if (end < begin) return InvalidArgument(where, ": data_offsets end (", end, ") before they begin (", begin, ")");
  if (end - begin != info.bytes) {
    return InvalidArgument(where, ": data_offsets span ", end - begin, " bytes, but ", info.dtype, ShapeString(info.shape),
                           " takes ", info.bytes);
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::ReadHeader() {
  const std::string& path = file_->path();
  const auto bytes = file_->bytes();
  if (bytes.size() < 8) {
    return InvalidArgument(path, ": ", bytes.size(), " bytes are too few for a safetensors file; is the download complete?");
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  if (length > kMaxSafetensorsHeader) {
    return InvalidArgument(path, ": not a safetensors file: its header would be ", length, " bytes long, at most ",
                           kMaxSafetensorsHeader, " are allowed");
  }
  if (length > bytes.size() - 8) {
    return InvalidArgument(path, ": truncated: the header takes ", length, " bytes, but only ", bytes.size() - 8,
                           " follow; fetch the file again");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '{') return InvalidArgument(path, ": not a safetensors file: its header is not a JSON object");
  RADLADS_ASSIGN_OR_RETURN(json header, ParseJson(text, {.where = path + ": header", .max_depth = kMaxDepth, .unique_keys = true}));
  if (!header.is_object()) return InvalidArgument(path, ": the header is not a JSON object");

  struct Extent {
    uint64_t begin, end;
    TensorInfo info;
    const Type* type;
  };
  std::vector<Extent> extents;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      RADLADS_RETURN_IF_ERROR(ReadMetadata(value));
      continue;
    }
    Extent& extent = extents.emplace_back();
    extent.info.name = name;
    extent.info.file = path;
    RADLADS_RETURN_IF_ERROR(ReadTensor(name, value, extent.info, extent.type, extent.begin, extent.end));
  }
  // Stable: names, which come sorted, order tensors without bytes.
  std::stable_sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const uint64_t data_size = bytes.size() - 8 - length;
  uint64_t expected = 0;
  for (Extent& extent : extents) {
    if (extent.begin != expected) {
      return InvalidArgument(path, ": tensor \"", extent.info.name, "\" begins at byte ", extent.begin, " of the data, expected ",
                             expected, extent.begin < expected ? ": it overlaps the one before it" : ": there is a hole before it");
    }
    if (extent.end > data_size) {
      return InvalidArgument(path, ": truncated: tensor \"", extent.info.name, "\" ends at byte ", extent.end,
                             " of the data, but the file holds only ", data_size, "; fetch the file again");
    }
    expected = extent.end;
    entries_[extent.info.name] = {tensors_.size(), 8 + length + extent.begin, extent.type};
    tensors_.push_back(std::move(extent.info));
  }
  if (expected != data_size) {
    return InvalidArgument(path, ": ", data_size - expected, " bytes after the last tensor; the file must end with it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> OpenSafetensors(const std::string& path) { return SafetensorsFile::Open(path); }

absl::StatusOr<std::map<std::string, std::string>> SafetensorsMetadata(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(path));
  return file->metadata();
}

}  // namespace radlads
