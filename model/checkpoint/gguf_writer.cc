#include "model/checkpoint/gguf_writer.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/parallel_for.h"
#include "base/status.h"
#include "model/checkpoint/gguf_quantization.h"

namespace radlads {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;
constexpr size_t kMaxName = 63;  // of llama.cpp's buffer of 64
constexpr int kBlock = 32;
constexpr int64_t kGrain = 4096;  // blocks

uint64_t Padding(uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

void PutHalf(float value, uint8_t* to) {
  const uint16_t bits = c10::Half(value).x;
  std::memcpy(to, &bits, sizeof(bits));
}

// quantize_row_q8_0_ref.
void EncodeQ8_0(const float* x, uint8_t* block) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127, inverse = d != 0 ? 1 / d : 0;
  PutHalf(d, block);
  for (int i = 0; i < kBlock; ++i) block[2 + i] = static_cast<int8_t>(std::round(x[i] * inverse));
}

// quantize_row_q4_0_ref.
void EncodeQ4_0(const float* x, uint8_t* block) {
  float largest = 0, signed_largest = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > largest) {
      largest = std::fabs(x[i]);
      signed_largest = x[i];
    }
  }
  const float d = signed_largest / -8, inverse = d != 0 ? 1 / d : 0;
  PutHalf(d, block);
  auto code = [&](float value) { return std::min(15, static_cast<int>(static_cast<int8_t>(value * inverse + 8.5f))); };
  for (int i = 0; i < kBlock / 2; ++i) block[2 + i] = code(x[i]) | code(x[i + kBlock / 2]) << 4;
}

// quantize_row_q4_1_ref.
void EncodeQ4_1(const float* x, uint8_t* block) {
  float low = x[0], high = x[0];
  for (int i = 1; i < kBlock; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  const float d = (high - low) / 15, inverse = d != 0 ? 1 / d : 0;
  PutHalf(d, block);
  PutHalf(low, block + 2);
  auto code = [&](float value) { return std::min(15, static_cast<int>(static_cast<int8_t>((value - low) * inverse + 0.5f))); };
  for (int i = 0; i < kBlock / 2; ++i) block[4 + i] = code(x[i]) | code(x[i + kBlock / 2]) << 4;
}

struct Type {
  const gguf::TensorType* format;
  void (*encode)(const float*, uint8_t*);  // of a block; nullptr for plain types
};

absl::StatusOr<Type> FindType(const GgufTensorToWrite& tensor) {
  Type type{gguf::FindTensorType(tensor.type), nullptr};
  if (tensor.type == "Q8_0") type.encode = EncodeQ8_0;
  if (tensor.type == "Q4_0") type.encode = EncodeQ4_0;
  if (tensor.type == "Q4_1") type.encode = EncodeQ4_1;
  RADLADS_CHECK(type.format != nullptr && (type.encode != nullptr || at::isFloatingType(type.format->dtype))) << tensor.type;
  if (type.encode != nullptr && (tensor.shape.empty() || tensor.shape.back() % kBlock != 0)) {
    return InvalidArgument(tensor.name, " is ", ShapeString(tensor.shape), ", whose rows are no multiple of 32, so it cannot be ", tensor.type);
  }
  return type;
}

uint64_t BytesOf(const GgufTensorToWrite& tensor, const Type& type) {
  return c10::multiply_integers(tensor.shape) / type.format->block * type.format->bytes;
}

absl::Status WriteTensor(AtomicFile& file, const GgufTensorToWrite& tensor, const Type& type, const BytesWritten& written) {
  auto append = [&](const void* data, size_t size) {
    if (written) written(size);
    return file.Append(data, size);
  };
  if (type.encode == nullptr) {
    return ForEachPiece({tensor.name, type.format->dtype, tensor.shape, tensor.make},
                        [&](const at::Tensor& piece) { return append(piece.const_data_ptr(), piece.nbytes()); });
  }
  const int64_t row_bytes = BytesOf(tensor, type) / std::max<int64_t>(tensor.shape[0], 1);
  std::vector<uint8_t> bytes;
  return ForEachPieceOfRows(tensor.shape, kPieceBytes, [&](int64_t first, int64_t count) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor made, tensor.make(first, count));
    if (made.scalar_type() == at::kByte) {
      RADLADS_CHECK(static_cast<int64_t>(made.nbytes()) == count * row_bytes) << tensor.name << " is not made of the blocks announced";
      return append(made.contiguous().const_data_ptr(), made.nbytes());
    }
    const at::Tensor piece = made.to(at::kFloat).contiguous();
    if (const float most = piece.abs().max().item<float>(); !(most / 8 <= 65504)) {
      return InvalidArgument(tensor.name, " holds ", most, ", beyond what ", tensor.type, " can hold");
    }
    const float* values = piece.const_data_ptr<float>();
    const int64_t blocks = piece.numel() / kBlock, size = type.format->bytes;
    bytes.resize(blocks * size);
    ParallelFor(blocks, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) type.encode(values + i * kBlock, bytes.data() + i * size);
    });
    return append(bytes.data(), bytes.size());
  });
}

}  // namespace

void GgufMetadata::AppendText(std::string_view text) {
  Append<uint64_t>(text.size());
  bytes_ += text;
}
void GgufMetadata::Begin(std::string_view key, GgufType type) {
  AppendText(key);
  Append(static_cast<uint32_t>(type));
  ++count_;
}
void GgufMetadata::SetU32(std::string_view key, uint32_t value) {
  Begin(key, GgufType::kU32);
  Append(value);
}
void GgufMetadata::SetF32(std::string_view key, float value) {
  Begin(key, GgufType::kF32);
  Append(value);
}
void GgufMetadata::SetBool(std::string_view key, bool value) {
  Begin(key, GgufType::kBool);
  Append<uint8_t>(value);
}
void GgufMetadata::SetString(std::string_view key, std::string_view value) {
  Begin(key, GgufType::kString);
  AppendText(value);
}
void GgufMetadata::SetStrings(std::string_view key, const std::vector<std::string>& values) {
  Begin(key, GgufType::kArray);
  Append(static_cast<uint32_t>(GgufType::kString));
  Append<uint64_t>(values.size());
  for (const std::string& value : values) AppendText(value);
}
void GgufMetadata::SetI32s(std::string_view key, const std::vector<int32_t>& values) {
  Begin(key, GgufType::kArray);
  Append(static_cast<uint32_t>(GgufType::kI32));
  Append<uint64_t>(values.size());
  for (const int32_t value : values) Append(value);
}

absl::Status WriteGguf(const std::string& path, const GgufMetadata& metadata, const std::vector<GgufTensorToWrite>& tensors,
                       const BytesWritten& written) {
  std::string header = "GGUF";
  auto put = [&header](auto value) { header.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  put(kVersion);
  put(static_cast<uint64_t>(tensors.size()));
  put(static_cast<uint64_t>(metadata.count()));
  header += metadata.bytes();
  std::vector<Type> types;
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const GgufTensorToWrite& tensor : tensors) {
    if (!names.insert(tensor.name).second) return InvalidArgument("cannot write ", path, ": two tensors are called ", tensor.name);
    if (tensor.name.empty() || tensor.name.size() > kMaxName) {
      return InvalidArgument("cannot write ", path, ": the name ", tensor.name, " is longer than ", kMaxName, " bytes");
    }
    if (tensor.shape.size() > 4) return InvalidArgument("cannot write ", path, ": ", tensor.name, " has more than 4 dimensions");
    RADLADS_ASSIGN_OR_RETURN(const Type type, FindType(tensor));
    types.push_back(type);
    put(static_cast<uint64_t>(tensor.name.size()));
    header += tensor.name;
    put(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) put(static_cast<uint64_t>(tensor.shape[i]));
    put(type.format->id);
    put(offset);
    const uint64_t bytes = BytesOf(tensor, type);
    offset += bytes + Padding(bytes);
  }
  header.append(Padding(header.size()), '\0');

  RADLADS_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  RADLADS_RETURN_IF_ERROR(file->Append(header));
  for (size_t i = 0; i < tensors.size(); ++i) {
    RADLADS_RETURN_IF_ERROR(WriteTensor(*file, tensors[i], types[i], written));
    const std::string padding(Padding(BytesOf(tensors[i], types[i])), '\0');
    RADLADS_RETURN_IF_ERROR(file->Append(padding));
  }
  return file->Commit();
}

}  // namespace radlads
