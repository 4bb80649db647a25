#include "serve/sessions/session_blob.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/crc32c.h"
#include "base/status.h"

namespace radlads {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in memory");

constexpr std::string_view kMagic = "RADLSESS";
constexpr uint32_t kVersion = 1;
constexpr size_t kChecked = 16;  // the checksum is of the bytes from here on
constexpr size_t kMaxRank = 8, kMaxName = 255;
constexpr int64_t kMaxTokens = int64_t{1} << 40;

class Writer {
 public:
  template <typename Number>
  void Put(Number number) {
    out_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  void PutBytes(std::string_view bytes) { out_.append(bytes); }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

  absl::StatusOr<std::string_view> Bytes(size_t size, const char* what) {
    if (size > left()) {
      return InvalidArgument("the state blob ends within ", what, ", at byte ", bytes_.size(), "; expected ", size,
                             " bytes from ", at_, " on. It was cut off: export it again");
    }
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  template <typename Number>
  absl::Status Get(Number* number, const char* what) {
    RADLADS_ASSIGN_OR_RETURN(const std::string_view bytes, Bytes(sizeof(Number), what));
    std::memcpy(number, bytes.data(), sizeof(Number));
    return absl::OkStatus();
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

// The bytes that the shape asks for, at most `limit`.
absl::StatusOr<size_t> SizeOf(const BlobTensor& tensor, size_t limit) {
  int64_t size = BlobTypeSize(tensor.type);
  for (const int64_t dimension : tensor.shape) {
    if (dimension < 1 || size > static_cast<int64_t>(limit) / dimension) {
      return InvalidArgument("tensor ", tensor.name, " of the state blob has a dimension of ", dimension,
                             ", which does not fit the ", limit, " bytes that are left");
    }
    size *= dimension;
  }
  return size;
}

absl::Status ReadTensorHead(Reader& reader, BlobTensor* tensor) {
  uint8_t name_size = 0, type = 0, rank = 0;
  RADLADS_RETURN_IF_ERROR(reader.Get(&name_size, "the table of tensors"));
  RADLADS_ASSIGN_OR_RETURN(tensor->name, reader.Bytes(name_size, "the name of a tensor"));
  for (const char c : tensor->name) {
    if (c <= ' ' || c > '~')
      return InvalidArgument("the name of a tensor of the state blob has a byte that is no printable ASCII");
  }
  RADLADS_RETURN_IF_ERROR(reader.Get(&type, "the table of tensors"));
  RADLADS_RETURN_IF_ERROR(reader.Get(&rank, "the table of tensors"));
  tensor->type = static_cast<BlobType>(type);
  if (BlobTypeSize(tensor->type) == 0 || rank > kMaxRank || name_size == 0) {
    return InvalidArgument("tensor '", tensor->name, "' of the state blob has type ", static_cast<int>(type), " and ",
                           static_cast<int>(rank), " dimensions; expected a type of 1 to 5, at most ", kMaxRank,
                           " dimensions and a name");
  }
  tensor->shape.resize(rank);
  for (int64_t& dimension : tensor->shape) RADLADS_RETURN_IF_ERROR(reader.Get(&dimension, "the table of tensors"));
  return absl::OkStatus();
}

// What stands before anything else is believed.
absl::Status CheckFrame(Reader& reader, std::string_view bytes) {
  RADLADS_ASSIGN_OR_RETURN(const std::string_view magic, reader.Bytes(kMagic.size(), "the magic number"));
  if (magic != kMagic) return InvalidArgument("this is no state blob: it does not begin with ", kMagic);
  uint32_t version = 0, checksum = 0;
  uint64_t size = 0;
  RADLADS_RETURN_IF_ERROR(reader.Get(&version, "the version"));
  if (version != kVersion) {
    return InvalidArgument("the state blob is of version ", version, ", expected ", kVersion,
                           "; export it with a radlads of this version");
  }
  RADLADS_RETURN_IF_ERROR(reader.Get(&checksum, "the checksum"));
  RADLADS_RETURN_IF_ERROR(reader.Get(&size, "the size"));
  if (size != bytes.size()) {
    return InvalidArgument("the state blob has ", bytes.size(), " bytes, but says that it has ", size,
                           "; it was cut off or something was added");
  }
  const uint32_t found = Crc32c(bytes.substr(kChecked));
  if (found != checksum) {
    return InvalidArgument("the checksum of the state blob is ", found, ", expected ", checksum, "; it was damaged");
  }
  return absl::OkStatus();
}

bool IsHash(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

int64_t BlobTypeSize(BlobType type) {
  switch (type) {
    case BlobType::kF32:
      return 4;
    case BlobType::kBF16:
    case BlobType::kF16:
      return 2;
    case BlobType::kF64:
    case BlobType::kI64:
      return 8;
  }
  return 0;
}

const char* BlobTypeName(BlobType type) {
  switch (type) {
    case BlobType::kF32:
      return "F32";
    case BlobType::kBF16:
      return "BF16";
    case BlobType::kF16:
      return "F16";
    case BlobType::kF64:
      return "F64";
    case BlobType::kI64:
      return "I64";
  }
  return "unknown";
}

std::string SerializeBlob(const SessionBlob& blob) {
  size_t size = 104 + 4 * blob.listed.size();
  for (const BlobTensor& tensor : blob.tensors) {
    size += 3 + tensor.name.size() + 8 * tensor.shape.size() + tensor.bytes.size();
  }
  RADLADS_CHECK(blob.model_hash.size() == 32) << blob.model_hash;
  Writer writer;
  writer.out_.reserve(size);
  writer.PutBytes(kMagic);
  writer.Put(kVersion);
  writer.Put(uint32_t{0});
  writer.Put(static_cast<uint64_t>(size));
  writer.PutBytes(blob.model_hash);
  writer.PutBytes({reinterpret_cast<const char*>(blob.prefix_hash.data()), blob.prefix_hash.size()});
  writer.Put(blob.read);
  writer.Put(blob.tokens);
  writer.Put(static_cast<int64_t>(blob.listed.size()));
  writer.Put(static_cast<uint64_t>(blob.tensors.size()));
  for (const BlobTensor& tensor : blob.tensors) {
    RADLADS_CHECK(tensor.name.size() <= kMaxName && tensor.shape.size() <= kMaxRank) << tensor.name;
    writer.Put(static_cast<uint8_t>(tensor.name.size()));
    writer.PutBytes(tensor.name);
    writer.Put(static_cast<uint8_t>(tensor.type));
    writer.Put(static_cast<uint8_t>(tensor.shape.size()));
    for (const int64_t dimension : tensor.shape) writer.Put(dimension);
  }
  for (const int64_t id : blob.listed) writer.Put(static_cast<uint32_t>(id));
  for (const BlobTensor& tensor : blob.tensors) writer.PutBytes(tensor.bytes);
  RADLADS_CHECK(writer.out_.size() == size) << writer.out_.size() << " bytes, not " << size;
  const uint32_t checksum = Crc32c(std::string_view(writer.out_).substr(kChecked));
  std::memcpy(writer.out_.data() + 12, &checksum, sizeof(checksum));
  return std::move(writer.out_);
}

absl::StatusOr<SessionBlob> ParseBlob(std::string_view bytes) {
  Reader reader(bytes);
  RADLADS_RETURN_IF_ERROR(CheckFrame(reader, bytes));
  SessionBlob blob;
  RADLADS_ASSIGN_OR_RETURN(blob.model_hash, reader.Bytes(32, "the model's hash"));
  if (!IsHash(blob.model_hash))
    return InvalidArgument("the model's hash in the state blob is not 32 hexadecimal digits");
  RADLADS_RETURN_IF_ERROR(reader.Get(&blob.prefix_hash, "the hash of the tokens"));
  int64_t listed = 0;
  uint64_t tensors = 0;
  RADLADS_RETURN_IF_ERROR(reader.Get(&blob.read, "the header"));
  RADLADS_RETURN_IF_ERROR(reader.Get(&blob.tokens, "the header"));
  RADLADS_RETURN_IF_ERROR(reader.Get(&listed, "the header"));
  RADLADS_RETURN_IF_ERROR(reader.Get(&tensors, "the header"));
  if (blob.read < 0 || blob.tokens < blob.read || blob.tokens > kMaxTokens || (listed != 0 && listed != blob.tokens) ||
      (blob.read == 0) != (tensors == 0)) {
    return InvalidArgument("the state blob says that it has ", tensors, " tensors after ", blob.read,
                           " tokens read of ", blob.tokens, ", and lists ", listed, "; that contradicts itself");
  }
  // Each needs 3 bytes and a name.
  if (tensors > reader.left() / 4) {
    return InvalidArgument("the state blob says that it has ", tensors, " tensors, in ", reader.left(), " bytes");
  }
  for (uint64_t i = 0; i < tensors; ++i) RADLADS_RETURN_IF_ERROR(ReadTensorHead(reader, &blob.tensors.emplace_back()));
  if (static_cast<uint64_t>(listed) > reader.left() / 4) {
    return InvalidArgument("the state blob says that it lists ", listed, " tokens, in ", reader.left(), " bytes");
  }
  blob.listed.resize(listed);
  for (int64_t& id : blob.listed) {
    uint32_t number = 0;
    RADLADS_RETURN_IF_ERROR(reader.Get(&number, "the tokens"));
    id = number;
  }
  for (BlobTensor& tensor : blob.tensors) {
    RADLADS_ASSIGN_OR_RETURN(const size_t size, SizeOf(tensor, reader.left()));
    RADLADS_ASSIGN_OR_RETURN(tensor.bytes, reader.Bytes(size, "a tensor"));
  }
  if (reader.left() > 0) return InvalidArgument("the state blob has ", reader.left(), " bytes after its last tensor");
  return blob;
}

}  // namespace radlads
