#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/status.h"
#include "data/binidx.h"
#include "data/binidx_layout.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

struct Range {
  int64_t low, high;
};

Range RangeOf(TokenType type) {
  switch (type) {
    case TokenType::kUint8: return {0, 255};
    case TokenType::kInt8: return {-128, 127};
    case TokenType::kInt16: return {-32768, 32767};
    case TokenType::kUint16: return {0, 65535};
    case TokenType::kInt32:
    case TokenType::kInt64: break;
  }
  return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
}

// Rows of the index are streamed: the arrays of a large dataset are not built twice.
template <typename T>
absl::Status Put(AtomicFile* file, T value) {
  return file->Append(&value, sizeof(value));
}

absl::Status RemoveIfThere(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return absl::UnavailableError(Concatenate("cannot remove the older ", path, ": ", std::strerror(errno)));
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(Concatenate("cannot rename ", from, " to ", to, ": ", std::strerror(errno)));
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  const std::string directory = parent.empty() ? std::string(".") : parent.string();
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0 || ::fsync(descriptor) != 0) {
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    return absl::UnavailableError(Concatenate("cannot sync ", directory, ": ", std::strerror(error)));
  }
  ::close(descriptor);
  return absl::OkStatus();
}

std::string Staged(const std::string& path) {
  return path + ".staged";
}
std::string DescriptionPath(const std::string& prefix) {
  return prefix + ".json";
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenDatasetWriter>> TokenDatasetWriter::Create(const std::string& prefix,
                                                                               TokenType type) {
  if (prefix.empty() || prefix.back() == '/') {
    return InvalidArgument("\"", prefix, "\" is not a prefix for PREFIX.bin and PREFIX.idx; add a name");
  }
  const std::string directory = fs::path(prefix).parent_path().string();
  if (!directory.empty()) RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  RADLADS_ASSIGN_OR_RETURN(auto bin, AtomicFile::Create(Staged(TokensPath(prefix))));
  return std::unique_ptr<TokenDatasetWriter>(new TokenDatasetWriter(prefix, type, std::move(bin)));
}

TokenDatasetWriter::~TokenDatasetWriter() = default;

absl::Status TokenDatasetWriter::AddDocument(std::span<const int32_t> tokens) {
  if (tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return InvalidArgument("document ", documents(), " has ", tokens.size(),
                           " tokens; the format holds documents of less than 2^31");
  }
  const Range range = RangeOf(type_);
  const size_t width = TokenBytes(type_);
  encoded_.resize(tokens.size() * width);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int64_t id = tokens[i];
    if (id < range.low || id > range.high) {
      return InvalidArgument("token ", i, " of document ", documents(), " is ", id, ", which ", TokenTypeName(type_),
                             " cannot hold");
    }
    std::memcpy(encoded_.data() + i * width, &id, width);  // the low bytes come first
  }
  RADLADS_RETURN_IF_ERROR(bin_->Append(encoded_.data(), encoded_.size()));
  sizes_.push_back(static_cast<int32_t>(tokens.size()));
  tokens_ += tokens.size();
  return absl::OkStatus();
}

absl::Status TokenDatasetWriter::Commit(std::string_view description) {
  const std::string bin_path = TokensPath(prefix_), index_path = IndexPath(prefix_);
  const std::string description_path = DescriptionPath(prefix_);
  // Everything is on the disk under staged names before the first final name changes: a full disk costs nothing old.
  absl::Status status = [&]() -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(auto index, AtomicFile::Create(Staged(index_path)));
    RADLADS_RETURN_IF_ERROR(index->Append(binidx::kMagic, sizeof(binidx::kMagic)));
    RADLADS_RETURN_IF_ERROR(Put(index.get(), binidx::kVersion));
    RADLADS_RETURN_IF_ERROR(Put(index.get(), static_cast<uint8_t>(type_)));
    RADLADS_RETURN_IF_ERROR(Put<uint64_t>(index.get(), sizes_.size()));
    RADLADS_RETURN_IF_ERROR(Put<uint64_t>(index.get(), sizes_.size() + 1));
    RADLADS_RETURN_IF_ERROR(index->Append(sizes_.data(), sizes_.size() * sizeof(int32_t)));
    int64_t pointer = 0;
    for (int32_t size : sizes_) {
      RADLADS_RETURN_IF_ERROR(Put(index.get(), pointer));
      pointer += size * TokenBytes(type_);
    }
    for (int64_t document = 0; document <= documents(); ++document) {
      RADLADS_RETURN_IF_ERROR(Put(index.get(), document));
    }
    RADLADS_RETURN_IF_ERROR(bin_->Commit());
    RADLADS_RETURN_IF_ERROR(index->Commit());
    if (!description.empty()) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(Staged(description_path), description));
    // From the older index's end to the new one's beginning there is no dataset of this name, rather than a wrong one.
    RADLADS_RETURN_IF_ERROR(RemoveIfThere(index_path));
    RADLADS_RETURN_IF_ERROR(RemoveIfThere(description_path));
    RADLADS_RETURN_IF_ERROR(Rename(Staged(bin_path), bin_path));
    if (!description.empty()) RADLADS_RETURN_IF_ERROR(Rename(Staged(description_path), description_path));
    RADLADS_RETURN_IF_ERROR(Rename(Staged(index_path), index_path));
    return SyncDirectoryOf(index_path);
  }();
  if (!status.ok()) {
    for (const std::string& path : {bin_path, index_path, description_path}) ::unlink(Staged(path).c_str());
  }
  return status;
}

}  // namespace radlads
