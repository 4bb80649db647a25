#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/crc32c.h"
#include "base/json.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/binidx_layout.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kCommitRecord[] = "{\"commit\":true}";
constexpr size_t kReadBytes = 1 << 20;

std::string Partial(const std::string& prefix, const char* kind) {
  return Concatenate(prefix, ".partial.", kind);
}

template <typename T>
std::string_view BytesOf(const std::span<const T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

// Rows of the index are streamed: the arrays of a large dataset never stand in memory.
template <typename T>
absl::Status Put(AppendFile* file, T value) {
  return file->Append(&value, sizeof(value));
}

absl::Status RemoveIfThere(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return FileError("remove", path, errno);
}

absl::Status RenameIfThere(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return FileError("rename " + from + " to", to, errno);
}

template <typename T>
absl::Status EncodeAs(std::span<const int32_t> ids, std::vector<uint8_t>* encoded) {
  const size_t before = encoded->size();
  encoded->resize(before + ids.size() * sizeof(T));
  uint8_t* at = encoded->data() + before;
  bool fits = true;
  for (size_t i = 0; i < ids.size(); ++i) {
    const T value = static_cast<T>(ids[i]);
    fits &= static_cast<int64_t>(value) == ids[i];
    std::memcpy(at + i * sizeof(T), &value, sizeof(T));
  }
  if (fits) return absl::OkStatus();
  encoded->resize(before);
  const auto bad =
      std::find_if(ids.begin(), ids.end(), [](int32_t id) { return static_cast<int64_t>(static_cast<T>(id)) != id; });
  return InvalidArgument("token ", bad - ids.begin(), " is ", *bad);
}

// Calls visit(lengths) for the whole file of lengths, some thousands at a time.
template <typename Visitor>
absl::Status ForEachBlock(const std::string& path, const Visitor& visit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  std::vector<int32_t> lengths(kReadBytes / sizeof(int32_t));
  while (file != nullptr) {
    const size_t got = std::fread(lengths.data(), sizeof(int32_t), lengths.size(), file.get());
    if (got == 0) break;
    RADLADS_RETURN_IF_ERROR(visit(std::span<const int32_t>(lengths.data(), got)));
  }
  if (file != nullptr && !std::ferror(file.get())) return absl::OkStatus();
  return FileError("read", path, errno);
}

// Reads a file from its front and keeps the checksum of what was read.
class ChecksummedReader {
 public:
  explicit ChecksummedReader(const std::string& path) : file_(std::fopen(path.c_str(), "rb")), block_(kReadBytes) {}
  ~ChecksummedReader() {
    if (file_ != nullptr) std::fclose(file_);
  }
  // Whether the file has `end` bytes, the checksum of which is `crc32c`. `end` never falls.
  bool Matches(uint64_t end, uint32_t crc32c) {
    while (position_ < end) {
      const size_t wanted = std::min<uint64_t>(block_.size(), end - position_);
      if (file_ == nullptr || std::fread(block_.data(), 1, wanted, file_) != wanted) return false;
      crc32c_ = Crc32c({block_.data(), wanted}, crc32c_);
      position_ += wanted;
    }
    return crc32c_ == crc32c;
  }

 private:
  std::FILE* file_;
  std::vector<char> block_;
  uint64_t position_ = 0;
  uint32_t crc32c_ = 0;
};

// From the record of the commit on, this is repeated until it succeeds: each step may have been done before.
absl::Status Publish(const std::string& prefix, Journal* journal) {
  const std::string bin = Partial(prefix, "bin"), index = Partial(prefix, "idx"), info = Partial(prefix, "json");
  // From the older index's end to the new one's beginning there is no dataset of this name, rather than a wrong one.
  if (FileExists(index)) RADLADS_RETURN_IF_ERROR(RemoveIfThere(IndexPath(prefix)));
  if (FileExists(bin)) RADLADS_RETURN_IF_ERROR(RemoveIfThere(prefix + ".json"));
  RADLADS_RETURN_IF_ERROR(RenameIfThere(bin, TokensPath(prefix)));
  RADLADS_RETURN_IF_ERROR(RenameIfThere(info, prefix + ".json"));
  RADLADS_RETURN_IF_ERROR(RenameIfThere(index, IndexPath(prefix)));
  RADLADS_RETURN_IF_ERROR(SyncDirectoryOf(bin));
  RADLADS_RETURN_IF_ERROR(RemoveIfThere(Partial(prefix, "sizes")));
  RADLADS_RETURN_IF_ERROR(journal->Remove());
  return SyncDirectoryOf(bin);
}

}  // namespace

absl::Status EncodeTokens(std::span<const int32_t> ids, TokenType type, std::vector<uint8_t>* encoded) {
  const absl::Status status = [&] {
    switch (type) {
      case TokenType::kUint8:
        return EncodeAs<uint8_t>(ids, encoded);
      case TokenType::kInt8:
        return EncodeAs<int8_t>(ids, encoded);
      case TokenType::kInt16:
        return EncodeAs<int16_t>(ids, encoded);
      case TokenType::kUint16:
        return EncodeAs<uint16_t>(ids, encoded);
      case TokenType::kInt32:
        return EncodeAs<int32_t>(ids, encoded);
      case TokenType::kInt64:
        break;
    }
    return EncodeAs<int64_t>(ids, encoded);
  }();
  if (status.ok()) return status;
  return InvalidArgument(status.message(), ", which ", TokenTypeName(type), " cannot hold");
}

absl::StatusOr<std::unique_ptr<TokenDatasetWriter>> TokenDatasetWriter::Create(
    const std::string& prefix, TokenType type, const TokenDatasetWriterOptions& options) {
  if (prefix.empty() || prefix.back() == '/') {
    return InvalidArgument("\"", prefix, "\" is not a prefix for PREFIX.bin and PREFIX.idx; add a name");
  }
  const std::string directory = fs::path(prefix).parent_path().string();
  if (!directory.empty()) RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  RADLADS_RETURN_IF_ERROR(Recover(prefix));
  std::unique_ptr<TokenDatasetWriter> writer(new TokenDatasetWriter(prefix, type, options));
  // The token type decides the bytes as much as the job does.
  json job = json::parse(options.job.empty() ? "{}" : options.job);
  job["dtype"] = TokenTypeName(type);
  RADLADS_ASSIGN_OR_RETURN(
      writer->journal_, Journal::Open(Partial(prefix, "journal"), job.dump(), options.restart || options.job.empty()));
  RADLADS_RETURN_IF_ERROR(writer->Restore());
  return writer;
}

absl::Status TokenDatasetWriter::Recover(const std::string& prefix) {
  RADLADS_ASSIGN_OR_RETURN(const auto journal, Journal::OpenExisting(Partial(prefix, "journal")));
  if (journal == nullptr || journal->records().empty() || journal->records().back() != kCommitRecord) {
    return absl::OkStatus();
  }
  return Publish(prefix, journal.get());
}

// Continues at the last point whose tokens and lengths are on the disk as they were written.
absl::Status TokenDatasetWriter::Restore() {
  const std::vector<std::string>& records = journal_->records();
  size_t good = 0;
  {
    ChecksummedReader bin(Partial(prefix_, "bin")), sizes(Partial(prefix_, "sizes"));
    for (; good < records.size(); ++good) {
      const absl::StatusOr<json> read = ParseJson(records[good]);
      if (!read.ok() || !read->is_object() || !read->contains("cursor")) break;
      const json& point = *read;
      const int64_t tokens = point.value("tokens", int64_t{-1}), documents = point.value("documents", int64_t{-1});
      const uint32_t bin_crc = point.value("tokens_crc32c", 0u), sizes_crc = point.value("sizes_crc32c", 0u);
      if (tokens < tokens_ || documents < documents_ || !bin.Matches(tokens * TokenBytes(type_), bin_crc) ||
          !sizes.Matches(documents * sizeof(int32_t), sizes_crc)) {
        break;
      }
      tokens_ = tokens;
      documents_ = documents;
      tokens_crc32c_ = bin_crc;
      sizes_crc32c_ = sizes_crc;
      cursors_.push_back(point["cursor"].dump());
    }
  }
  RADLADS_RETURN_IF_ERROR(journal_->Truncate(good));
  RADLADS_ASSIGN_OR_RETURN(bin_, AppendFile::Open(Partial(prefix_, "bin"), tokens_ * TokenBytes(type_)));
  RADLADS_ASSIGN_OR_RETURN(sizes_, AppendFile::Open(Partial(prefix_, "sizes"), documents_ * sizeof(int32_t)));
  last_point_ = std::chrono::steady_clock::now();
  return SyncDirectoryOf(bin_->path());
}

TokenDatasetWriter::~TokenDatasetWriter() {
  if (committed_ || journal_ == nullptr || !journal_->records().empty()) return;
  RemovePartialFiles();
  (void)journal_->Remove();
}

void TokenDatasetWriter::RemovePartialFiles() {
  for (const char* kind : {"bin", "sizes", "idx", "json"}) ::unlink(Partial(prefix_, kind).c_str());
}

absl::Status TokenDatasetWriter::AddDocument(std::span<const int32_t> tokens) {
  if (tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return InvalidArgument("document ", documents(), " has ", tokens.size(),
                           " tokens; the format holds documents of less than 2^31");
  }
  encoded_.clear();
  if (absl::Status status = EncodeTokens(tokens, type_, &encoded_); !status.ok()) {
    return Annotate(status, Concatenate("document ", documents()));
  }
  const int32_t length = tokens.size();
  return AddDocuments({&length, 1}, encoded_);
}

absl::Status TokenDatasetWriter::AddDocuments(std::span<const int32_t> lengths, std::span<const uint8_t> encoded) {
  RADLADS_CHECK(!committed_) << "AddDocuments after Commit of " << prefix_;
  RADLADS_RETURN_IF_ERROR(bin_->Append(BytesOf(encoded)));
  RADLADS_RETURN_IF_ERROR(sizes_->Append(BytesOf(lengths)));
  tokens_crc32c_ = Crc32c(BytesOf(encoded), tokens_crc32c_);
  sizes_crc32c_ = Crc32c(BytesOf(lengths), sizes_crc32c_);
  tokens_ += encoded.size() / TokenBytes(type_);
  documents_ += lengths.size();
  return absl::OkStatus();
}

bool TokenDatasetWriter::PointIsDue() const {
  return std::chrono::steady_clock::now() - last_point_ >=
         std::chrono::duration<double>(options_.seconds_between_points);
}

absl::Status TokenDatasetWriter::Checkpoint(std::string_view cursor) {
  RADLADS_CHECK(!options_.job.empty()) << "a point of a writer without a job";
  RADLADS_RETURN_IF_ERROR(bin_->Sync());
  RADLADS_RETURN_IF_ERROR(sizes_->Sync());
  last_point_ = std::chrono::steady_clock::now();
  return journal_->Append(Concatenate("{\"documents\":", documents_, ",\"tokens\":", tokens_,
                                      ",\"tokens_crc32c\":", tokens_crc32c_, ",\"sizes_crc32c\":", sizes_crc32c_,
                                      ",\"cursor\":", cursor, "}"));
}

absl::Status TokenDatasetWriter::WriteIndex() const {
  RADLADS_ASSIGN_OR_RETURN(auto index, AppendFile::Open(Partial(prefix_, "idx"), 0));
  RADLADS_RETURN_IF_ERROR(index->Append(binidx::kMagic, sizeof(binidx::kMagic)));
  RADLADS_RETURN_IF_ERROR(Put(index.get(), binidx::kVersion));
  RADLADS_RETURN_IF_ERROR(Put(index.get(), static_cast<uint8_t>(type_)));
  RADLADS_RETURN_IF_ERROR(Put<uint64_t>(index.get(), documents_));
  RADLADS_RETURN_IF_ERROR(Put<uint64_t>(index.get(), documents_ + 1));
  RADLADS_RETURN_IF_ERROR(ForEachBlock(sizes_->path(), [&](std::span<const int32_t> lengths) {
    return index->Append(lengths.data(), lengths.size_bytes());
  }));
  int64_t pointer = 0;
  RADLADS_RETURN_IF_ERROR(ForEachBlock(sizes_->path(), [&](std::span<const int32_t> lengths) {
    for (const int32_t length : lengths) {
      RADLADS_RETURN_IF_ERROR(Put(index.get(), pointer));
      pointer += length * TokenBytes(type_);
    }
    return absl::OkStatus();
  }));
  RADLADS_CHECK(pointer == tokens_ * TokenBytes(type_)) << "lengths of " << pointer << " bytes";
  for (int64_t document = 0; document <= documents_; ++document) {
    RADLADS_RETURN_IF_ERROR(Put(index.get(), document));
  }
  return index->Sync();
}

absl::Status TokenDatasetWriter::Commit(std::string_view description) {
  RADLADS_CHECK(!committed_) << "second Commit of " << prefix_;
  // Everything is on the disk under partial names before the first final name changes: a full disk costs nothing old.
  absl::Status status = [&]() -> absl::Status {
    RADLADS_RETURN_IF_ERROR(bin_->Sync());
    RADLADS_RETURN_IF_ERROR(sizes_->Sync());
    RADLADS_RETURN_IF_ERROR(WriteIndex());
    RADLADS_RETURN_IF_ERROR(RemoveIfThere(Partial(prefix_, "json")));
    if (!description.empty()) {
      RADLADS_ASSIGN_OR_RETURN(auto json_file, AppendFile::Open(Partial(prefix_, "json"), 0));
      RADLADS_RETURN_IF_ERROR(json_file->Append(description));
      RADLADS_RETURN_IF_ERROR(json_file->Sync());
    }
    RADLADS_RETURN_IF_ERROR(SyncDirectoryOf(bin_->path()));
    return journal_->Append(kCommitRecord);
  }();
  if (!status.ok()) {
    for (const char* kind : {"idx", "json"}) ::unlink(Partial(prefix_, kind).c_str());
    return status;
  }
  committed_ = true;
  return Publish(prefix_, journal_.get());
}

}  // namespace radlads
