#include "model/checkpoint/gguf.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/gguf_quantization.h"
#include "model/checkpoint/mapped_tensor.h"

namespace radlads {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxKey = 65535;  // bytes; tensor names obey the same bound
constexpr uint32_t kMaxDimensions = 4;
// Smallest encodings: an empty key with a one-byte value, an empty name without dimensions.
constexpr uint64_t kMinKeyValueBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 4 + 4 + 8;

constexpr std::string_view kTypeNames[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

// 0 for strings and arrays.
int SizeOf(GgufType type) {
  constexpr int kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<uint32_t>(type)];
}

template <typename T>
T Load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace

std::string_view GgufTypeName(GgufType type) { return kTypeNames[static_cast<uint32_t>(type)]; }

class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), bytes_(file.files_[0]->bytes()) {}

  absl::Status Parse() {
    uint32_t magic = 0, version = 0;
    if (bytes_.size() < 4 || (magic = Load<uint32_t>(bytes_.data())) != kMagic) {
      return InvalidArgument(file_.path(), ": not a GGUF file: it does not begin with \"GGUF\"");
    }
    position_ = 4;
    RADLADS_RETURN_IF_ERROR(Take(version, "the version"));
    if (version != 2 && version != 3) {
      return InvalidArgument(file_.path(), ": GGUF version ", version, "; versions 2 and 3 are read",
                             (version & 0xffff) == 0 ? " (a big-endian file?)" : "");
    }
    file_.version_ = version;
    uint64_t tensors = 0, keys = 0;
    RADLADS_RETURN_IF_ERROR(Take(tensors, "the number of tensors"));
    RADLADS_RETURN_IF_ERROR(Take(keys, "the number of keys"));
    if (keys > Left() / kMinKeyValueBytes) return TooMany(keys, "keys");
    if (tensors > Left() / kMinTensorInfoBytes) return TooMany(tensors, "tensors");
    for (uint64_t i = 0; i < keys; ++i) RADLADS_RETURN_IF_ERROR(ParseKey(i));
    RADLADS_RETURN_IF_ERROR(ReadAlignment());
    for (uint64_t i = 0; i < tensors; ++i) RADLADS_RETURN_IF_ERROR(ParseTensor(i));
    return PlaceTensors();
  }

 private:
  uint64_t Left() const { return bytes_.size() - position_; }

  absl::Status TooMany(uint64_t count, const char* what) const {
    return InvalidArgument(file_.path(), ": says that it holds ", count, " ", what, ", more than fit into its ", bytes_.size(), " bytes");
  }
  absl::Status Truncated(const std::string& what, uint64_t needed) const {
    return InvalidArgument(file_.path(), ": truncated: ", what, " at byte ", position_, " takes ", needed, " bytes, but ", Left(),
                           " are left; fetch the file again");
  }

  template <typename T>
  absl::Status Take(T& value, const std::string& what) {
    if (Left() < sizeof(T)) return Truncated(what, sizeof(T));
    value = Load<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return absl::OkStatus();
  }

  absl::Status TakeString(std::string_view& text, const std::string& what, uint64_t max_length) {
    uint64_t length = 0;
    RADLADS_RETURN_IF_ERROR(Take(length, what));
    if (length > Left()) return Truncated(what, length);
    if (length > max_length) return InvalidArgument(file_.path(), ": ", what, " is ", length, " bytes long, at most ", max_length, " are allowed");
    text = std::string_view(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return absl::OkStatus();
  }

  absl::Status TakeType(GgufType& type, const std::string& what) {
    uint32_t number = 0;
    RADLADS_RETURN_IF_ERROR(Take(number, what));
    if (number > static_cast<uint32_t>(GgufType::kF64)) return InvalidArgument(file_.path(), ": ", what, " has the unknown type ", number);
    type = static_cast<GgufType>(number);
    return absl::OkStatus();
  }

  absl::Status ParseKey(uint64_t number) {
    std::string_view key;
    RADLADS_RETURN_IF_ERROR(TakeString(key, Concatenate("key ", number), kMaxKey));
    if (key.empty() || !IsUtf8(key)) return InvalidArgument(file_.path(), ": key ", number, " is empty or not text");
    const std::string what = Concatenate("the value of ", key);
    GgufValue value;
    RADLADS_RETURN_IF_ERROR(TakeType(value.type, what));
    RADLADS_RETURN_IF_ERROR(ParseValue(value, what));
    if (!file_.metadata_.emplace(key, std::move(value)).second) return InvalidArgument(file_.path(), ": the key ", key, " appears twice");
    return absl::OkStatus();
  }

  absl::Status ParseValue(GgufValue& value, const std::string& what) {
    if (value.type == GgufType::kString) {
      std::string_view text;
      RADLADS_RETURN_IF_ERROR(TakeString(text, what, std::numeric_limits<uint64_t>::max()));
      value.value = text;
      return absl::OkStatus();
    }
    if (value.type == GgufType::kArray) return ParseArray(value, what);
    const uint64_t size = SizeOf(value.type);
    if (Left() < size) return Truncated(what, size);
    const uint8_t* at = bytes_.data() + position_;
    position_ += size;
    switch (value.type) {
      case GgufType::kU8: value.value = uint64_t{*at}; break;
      case GgufType::kI8: value.value = int64_t{Load<int8_t>(at)}; break;
      case GgufType::kU16: value.value = uint64_t{Load<uint16_t>(at)}; break;
      case GgufType::kI16: value.value = int64_t{Load<int16_t>(at)}; break;
      case GgufType::kU32: value.value = uint64_t{Load<uint32_t>(at)}; break;
      case GgufType::kI32: value.value = int64_t{Load<int32_t>(at)}; break;
      case GgufType::kF32: value.value = double{Load<float>(at)}; break;
      case GgufType::kU64: value.value = Load<uint64_t>(at); break;
      case GgufType::kI64: value.value = Load<int64_t>(at); break;
      case GgufType::kF64: value.value = Load<double>(at); break;
      case GgufType::kBool:
        if (*at > 1) return InvalidArgument(file_.path(), ": ", what, " is a boolean of ", int{*at}, ", expected 0 or 1");
        value.value = *at == 1;
        break;
      default: RADLADS_CHECK(false) << "strings and arrays are handled above";
    }
    return absl::OkStatus();
  }

  absl::Status ParseArray(GgufValue& value, const std::string& what) {
    GgufArray array;
    RADLADS_RETURN_IF_ERROR(TakeType(array.type, what));
    RADLADS_RETURN_IF_ERROR(Take(array.count, what));
    if (array.type == GgufType::kArray) return Unimplemented(file_.path(), ": ", what, " is an array of arrays, which is not read");
    if (array.type == GgufType::kString) {
      if (array.count > Left() / 8) return Truncated(Concatenate(what, ", ", array.count, " strings"), array.count);
      array.strings.resize(array.count);
      for (std::string_view& text : array.strings) RADLADS_RETURN_IF_ERROR(TakeString(text, what, std::numeric_limits<uint64_t>::max()));
    } else {
      const uint64_t size = SizeOf(array.type);
      if (array.count > Left() / size) return Truncated(Concatenate(what, ", ", array.count, " numbers"), array.count);
      array.raw = bytes_.subspan(position_, array.count * size);
      position_ += array.count * size;
    }
    value.value = std::move(array);
    return absl::OkStatus();
  }

  absl::Status ReadAlignment() {
    alignment_ = kDefaultAlignment;
    if (!file_.HasKey("general.alignment")) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(int64_t alignment, file_.Int("general.alignment"));
    if (alignment < 1 || alignment > (1 << 30) || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      return InvalidArgument(file_.path(), ": general.alignment is ", alignment, ", expected a power of two");
    }
    alignment_ = alignment;
    return absl::OkStatus();
  }

  // Everything but whether the data lies inside the file, which is known only after the last one.
  absl::Status ParseTensor(uint64_t number) {
    std::string_view name;
    RADLADS_RETURN_IF_ERROR(TakeString(name, Concatenate("the name of tensor ", number), kMaxKey));
    if (name.empty() || !IsUtf8(name)) return InvalidArgument(file_.path(), ": the name of tensor ", number, " is empty or not text");
    const std::string what = Concatenate("tensor ", name);
    uint32_t dimensions = 0, type_number = 0;
    RADLADS_RETURN_IF_ERROR(Take(dimensions, what));
    if (dimensions > kMaxDimensions) {
      return InvalidArgument(file_.path(), ": ", what, " has ", dimensions, " dimensions, at most ", kMaxDimensions, " are allowed");
    }
    TensorInfo info;
    info.name = name;
    info.file = file_.path();
    info.shape.resize(dimensions);
    uint64_t elements = 1;
    int64_t extent = 1;  // elements if no size were 0; torch's strides must be able to hold it
    for (uint32_t i = 0; i < dimensions; ++i) {
      uint64_t size = 0;
      RADLADS_RETURN_IF_ERROR(Take(size, what));
      elements *= size;
      if (size > INT64_MAX || __builtin_mul_overflow(extent, std::max<int64_t>(size, 1), &extent)) {
        return InvalidArgument(file_.path(), ": ", what, " has more elements than fit into 64 bits");
      }
      info.shape[dimensions - 1 - i] = size;  // the file has the innermost first
    }
    RADLADS_RETURN_IF_ERROR(Take(type_number, what));
    const gguf::TensorType* type = gguf::FindTensorType(type_number);
    if (type == nullptr) {
      return InvalidArgument(file_.path(), ": ", what, " has the unknown type ", type_number, "; types that are read: ", gguf::ReadableTypes());
    }
    info.dtype = type->name;
    if (dimensions == 2) info.blocks = gguf::BlockKind(*type);
    const int64_t row = info.shape.empty() ? 1 : info.shape.back();
    if (row % type->block != 0) {
      return InvalidArgument(file_.path(), ": ", what, " is ", type->name, " with rows of ", row, ", which is not a multiple of its blocks of ", type->block);
    }
    if (__builtin_mul_overflow(elements / type->block, static_cast<uint64_t>(type->bytes), &info.bytes)) {
      return InvalidArgument(file_.path(), ": ", what, " is larger than 2^64 bytes");
    }
    uint64_t offset = 0;
    RADLADS_RETURN_IF_ERROR(Take(offset, what));
    if (offset % alignment_ != 0) {
      return InvalidArgument(file_.path(), ": ", what, " begins at ", offset, ", which is not a multiple of the alignment ", alignment_);
    }
    if (!file_.index_.emplace(name, file_.tensors_.size()).second) return InvalidArgument(file_.path(), ": ", what, " appears twice");
    file_.tensors_.push_back(std::move(info));
    file_.places_.push_back({0, offset});
    return absl::OkStatus();
  }

  absl::Status PlaceTensors() {
    const uint64_t data = (position_ + alignment_ - 1) / alignment_ * alignment_;
    std::map<uint64_t, size_t> by_offset;  // tensors with data
    for (size_t i = 0; i < file_.tensors_.size(); ++i) {
      const TensorInfo& info = file_.tensors_[i];
      uint64_t end;
      if (__builtin_add_overflow(file_.places_[i].offset, data, &file_.places_[i].offset) || __builtin_add_overflow(file_.places_[i].offset, info.bytes, &end) ||
          (end > bytes_.size() && info.bytes > 0)) {
        return InvalidArgument(file_.path(), ": tensor ", info.name, " (", info.dtype, ShapeString(info.shape), ", ", info.bytes,
                               " bytes) reaches beyond the end of the file; is the download complete?");
      }
      if (info.bytes == 0) continue;
      auto [place, is_new] = by_offset.emplace(file_.places_[i].offset, i);
      auto overlaps = [&](size_t a, size_t b) { return file_.places_[a].offset + file_.tensors_[a].bytes > file_.places_[b].offset; };
      if (!is_new || (place != by_offset.begin() && overlaps(std::prev(place)->second, i)) ||
          (std::next(place) != by_offset.end() && overlaps(i, std::next(place)->second))) {
        return InvalidArgument(file_.path(), ": tensor ", info.name, " overlaps another one");
      }
    }
    return absl::OkStatus();
  }

  GgufFile& file_;
  const std::span<const uint8_t> bytes_;
  uint64_t position_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
};

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::OpenPart(const std::string& path) {
  std::unique_ptr<GgufFile> file(new GgufFile);
  RADLADS_ASSIGN_OR_RETURN(auto mapped, MappedFile::Open(path));
  file->files_.push_back(std::move(mapped));
  RADLADS_RETURN_IF_ERROR(GgufParser(*file).Parse());
  return file;
}

absl::StatusOr<std::unique_ptr<TensorSource>> OpenGguf(const std::string& path) { return GgufFile::Open(path); }

const TensorInfo* GgufFile::Find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

absl::StatusOr<at::Tensor> GgufFile::Read(const std::string& name) const { return Part(name, 0, std::nullopt); }

absl::StatusOr<at::Tensor> GgufFile::ReadRows(const std::string& name, int64_t first, int64_t count) const {
  return Part(name, first, count);
}

absl::StatusOr<at::Tensor> GgufFile::Part(const std::string& name, int64_t first, std::optional<int64_t> count) const {
  auto found = index_.find(name);
  if (found == index_.end()) return NotFound(path(), " has no tensor ", name);
  const TensorInfo& info = tensors_[found->second];
  const gguf::TensorType& type = *gguf::FindTensorType(std::string_view(info.dtype));
  std::vector<int64_t> shape = info.shape;
  uint64_t offset = places_[found->second].offset, bytes = info.bytes;
  const auto& file = files_[places_[found->second].part];
  // Rows are whole blocks where there are two dimensions or more.
  const bool is_narrow = count && !shape.empty() && bytes > 0 && (shape.size() > 1 || type.block == 1);
  if (is_narrow) {
    const uint64_t row = bytes / shape[0];
    offset += row * first;
    bytes = row * *count;
    shape[0] = *count;
  }
  if (type.dtype != at::ScalarType::Undefined) return MappedTensor(file, offset, shape, type.dtype);
  if (type.decode == nullptr) {
    return Unimplemented(path(), ": tensor ", name, " is quantised as ", info.dtype, ", which is not read; types that are: ",
                         gguf::ReadableTypes(), ". Requantise the model or take another file of it");
  }
  at::Tensor values = at::empty(shape, at::kFloat);
  gguf::Dequantize(type, file->bytes().data() + offset, bytes / type.bytes, values.data_ptr<float>());
  return count && !is_narrow ? RowsOf(values, first, *count) : values;
}

absl::StatusOr<at::Tensor> GgufFile::ReadBlocks(const std::string& name) const {
  auto found = index_.find(name);
  if (found == index_.end() || !tensors_[found->second].blocks) return TensorSource::ReadBlocks(name);
  return ReadBlockRows(name, 0, tensors_[found->second].shape[0]);
}

absl::StatusOr<at::Tensor> GgufFile::ReadBlockRows(const std::string& name, int64_t first, int64_t count) const {
  auto found = index_.find(name);
  if (found == index_.end() || !tensors_[found->second].blocks) return TensorSource::ReadBlocks(name);
  const TensorInfo& info = tensors_[found->second];
  const gguf::TensorType& type = *gguf::FindTensorType(std::string_view(info.dtype));
  const int64_t blocks = info.shape[1] / kWeightBlock, bytes = BlockBytes(*info.blocks);
  const auto& file = files_[places_[found->second].part];
  const uint64_t offset = places_[found->second].offset + first * blocks * type.bytes;
  if (type.bytes == bytes) return MappedTensor(file, offset, {count, blocks, bytes}, at::kByte);
  at::Tensor converted = at::empty({count, blocks, bytes}, at::kByte);
  const absl::Status status = Q4FromQ4_0(file->bytes().data() + offset, count * blocks, converted.mutable_data_ptr<uint8_t>());
  if (!status.ok()) return Annotate(status, Concatenate(path(), ": tensor ", name));
  return converted;
}

absl::StatusOr<const GgufValue*> GgufFile::Value(std::string_view key) const {
  auto found = metadata_.find(key);
  if (found == metadata_.end()) return NotFound(path(), " has no key ", key);
  return &found->second;
}

namespace {

absl::Status WrongType(const GgufFile& file, std::string_view key, const GgufValue& value, const char* expected) {
  std::string found(GgufTypeName(value.type));
  if (const auto* array = std::get_if<GgufArray>(&value.value)) found = Concatenate("array of ", GgufTypeName(array->type));
  return InvalidArgument(file.path(), ": ", key, " is ", found, ", expected ", expected);
}

// An element of an array of integers.
int64_t IntAt(const GgufArray& array, uint64_t i) {
  const uint8_t* at = array.raw.data() + i * SizeOf(array.type);
  switch (array.type) {
    case GgufType::kU8: return *at;
    case GgufType::kI8: return Load<int8_t>(at);
    case GgufType::kU16: return Load<uint16_t>(at);
    case GgufType::kI16: return Load<int16_t>(at);
    case GgufType::kU32: return Load<uint32_t>(at);
    case GgufType::kI32: return Load<int32_t>(at);
    default: return Load<int64_t>(at);
  }
}

bool IsInteger(GgufType type) {
  return type != GgufType::kF32 && type != GgufType::kF64 && type != GgufType::kBool && type != GgufType::kString && type != GgufType::kArray;
}

}  // namespace

absl::StatusOr<int64_t> GgufFile::Int(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  if (const auto* number = std::get_if<uint64_t>(&value->value); number != nullptr && *number <= INT64_MAX) return *number;
  if (const auto* number = std::get_if<int64_t>(&value->value)) return *number;
  return WrongType(*this, key, *value, "an integer below 2^63");
}

absl::StatusOr<double> GgufFile::Float(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  if (const auto* number = std::get_if<double>(&value->value)) return *number;
  if (const auto* number = std::get_if<uint64_t>(&value->value)) return *number;
  if (const auto* number = std::get_if<int64_t>(&value->value)) return *number;
  return WrongType(*this, key, *value, "a number");
}

absl::StatusOr<bool> GgufFile::Bool(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  if (const auto* boolean = std::get_if<bool>(&value->value)) return *boolean;
  return WrongType(*this, key, *value, "a boolean");
}

absl::StatusOr<std::string> GgufFile::String(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* text = std::get_if<std::string_view>(&value->value);
  if (text == nullptr) return WrongType(*this, key, *value, "a string");
  if (!IsUtf8(*text)) return InvalidArgument(path(), ": ", key, " is not UTF-8");
  return std::string(*text);
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::Strings(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || array->type != GgufType::kString) return WrongType(*this, key, *value, "an array of strings");
  return array->strings;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::Ints(std::string_view key) const {
  RADLADS_ASSIGN_OR_RETURN(const GgufValue* value, Value(key));
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || !IsInteger(array->type)) return WrongType(*this, key, *value, "an array of integers");
  std::vector<int64_t> numbers(array->count);
  for (uint64_t i = 0; i < array->count; ++i) numbers[i] = IntAt(*array, i);
  return numbers;
}

}  // namespace radlads
