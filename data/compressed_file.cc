#include "data/compressed_file.h"

#include <fcntl.h>
#include <lz4frame.h>
#include <lzma.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kInputBlock = 1 << 18;
constexpr int kWaitMilliseconds = 100;  // between two looks at whether to stop
// A preset -9 stream needs 65 MiB; a hostile header may ask for 4 GiB.
constexpr uint64_t kXzMemoryLimit = uint64_t{1} << 30;

// The raw bytes, in blocks that the decoders look into.
class RawFile {
 public:
  RawFile(std::string path, int descriptor, std::stop_token stop)
      : path_(std::move(path)),
        descriptor_(descriptor),
        stop_(std::move(stop)),
        block_(std::make_unique_for_overwrite<char[]>(kInputBlock)) {
    struct stat info;
    regular_ = ::fstat(descriptor_, &info) == 0 && S_ISREG(info.st_mode);
  }
  ~RawFile() {
    if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
  }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  // Makes at least `wanted` unread bytes available unless the file ends before.
  absl::Status Fill(size_t wanted) {
    if (end_ - begin_ >= wanted || ended_) return absl::OkStatus();
    std::memmove(block_.get(), block_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < wanted && !ended_) {
      RADLADS_ASSIGN_OR_RETURN(const size_t got, ReadSome(block_.get() + end_, kInputBlock - end_));
      ended_ = got == 0;
      end_ += got;
    }
    return absl::OkStatus();
  }
  std::string_view unread() const { return {block_.get() + begin_, end_ - begin_}; }
  void Consume(size_t bytes) {
    begin_ += bytes;
    consumed_ += bytes;
  }
  // Past `bytes` bytes without reading them; false where that is not possible (a pipe). UNAVAILABLE, DATA_LOSS.
  absl::StatusOr<bool> Seek(uint64_t bytes) {
    struct stat info;
    if (!regular_ || ::fstat(descriptor_, &info) != 0) return false;
    if (static_cast<uint64_t>(info.st_size) < consumed_ + bytes) {
      return DataLoss(path_, " has ", info.st_size, " bytes, expected at least ", consumed_ + bytes);
    }
    const uint64_t in_block = std::min<uint64_t>(bytes, end_ - begin_);
    Consume(in_block);
    bytes -= in_block;
    if (bytes > 0 && ::lseek(descriptor_, bytes, SEEK_CUR) < 0) {
      return absl::UnavailableError(Concatenate("cannot seek in ", path_, ": ", std::strerror(errno)));
    }
    consumed_ += bytes;
    return true;
  }
  // Reads past the block, which must be empty.
  absl::StatusOr<size_t> ReadDirectly(char* data, size_t size) {
    RADLADS_ASSIGN_OR_RETURN(const size_t got, ReadSome(data, size));
    consumed_ += got;
    return got;
  }
  bool at_end() const { return ended_ && begin_ == end_; }
  uint64_t consumed() const { return consumed_; }
  const std::string& path() const { return path_; }

 private:
  absl::StatusOr<size_t> ReadSome(char* data, size_t size) {
    while (true) {
      pollfd input{descriptor_, POLLIN, 0};
      if (!regular_ && stop_.stop_possible() && ::poll(&input, 1, kWaitMilliseconds) <= 0) {
        if (stop_.stop_requested()) return absl::CancelledError(Concatenate("stopped waiting for ", path_));
        continue;
      }
      const ssize_t got = ::read(descriptor_, data, size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::UnavailableError(Concatenate("cannot read ", path_, ": ", std::strerror(errno)));
      return static_cast<size_t>(got);
    }
  }

  const std::string path_;
  const int descriptor_;
  const std::stop_token stop_;
  const std::unique_ptr<char[]> block_;
  bool regular_;
  size_t begin_ = 0, end_ = 0;
  bool ended_ = false;
  uint64_t consumed_ = 0;
};

class PlainFile final : public CompressedFile {
 public:
  explicit PlainFile(std::unique_ptr<RawFile> raw) : raw_(std::move(raw)) {}
  absl::StatusOr<size_t> Read(char* data, size_t size) override {
    const size_t count = std::min(size, raw_->unread().size());
    if (count == 0) return raw_->ReadDirectly(data, size);
    std::memcpy(data, raw_->unread().data(), count);
    raw_->Consume(count);
    return count;
  }
  absl::Status Skip(uint64_t bytes) override {
    RADLADS_ASSIGN_OR_RETURN(const bool skipped, raw_->Seek(bytes));
    return skipped ? absl::OkStatus() : CompressedFile::Skip(bytes);
  }
  uint64_t bytes_consumed() const override { return raw_->consumed(); }
  const std::string& path() const override { return raw_->path(); }

 private:
  std::unique_ptr<RawFile> raw_;
};

// What the decoders share: feed input until output appears or the last stream has ended.
class DecodedFile : public CompressedFile {
 public:
  absl::StatusOr<size_t> Read(char* data, size_t size) override {
    while (true) {
      RADLADS_RETURN_IF_ERROR(raw_->Fill(1));
      if (raw_->at_end() && between_streams_) return 0;
      size_t produced = 0, consumed = 0;
      const bool more_input = !raw_->at_end();
      RADLADS_RETURN_IF_ERROR(Decode(raw_->unread(), data, size, &consumed, &produced));
      raw_->Consume(consumed);
      if (produced > 0) return produced;
      if (!more_input && !between_streams_) {
        return DataLoss(raw_->path(), " is cut off: its ", kind_, " stream does not end within the file's ",
                        raw_->consumed(), " bytes; fetch the file again");
      }
      if (consumed == 0 && more_input && !between_streams_) return Damaged("no progress");
    }
  }
  uint64_t bytes_consumed() const override { return raw_->consumed(); }
  const std::string& path() const override { return raw_->path(); }

 protected:
  DecodedFile(std::unique_ptr<RawFile> raw, const char* kind) : raw_(std::move(raw)), kind_(kind) {}
  // Decodes from `input` (empty at the end of the file), sets between_streams_ where a stream has ended and none begun.
  virtual absl::Status Decode(std::string_view input, char* data, size_t size, size_t* consumed, size_t* produced) = 0;
  absl::Status Damaged(const std::string& reason) const {
    return DataLoss(raw_->path(), ": the ", kind_, " stream is damaged near byte ", raw_->consumed(), " (", reason,
                    "); fetch the file again");
  }

  std::unique_ptr<RawFile> raw_;
  const char* kind_;
  bool between_streams_ = false;
};

class GzipFile final : public DecodedFile {
 public:
  explicit GzipFile(std::unique_ptr<RawFile> raw) : DecodedFile(std::move(raw), "gzip") {
    RADLADS_CHECK(inflateInit2(&stream_, 15 + 16) == Z_OK);
  }
  ~GzipFile() override { inflateEnd(&stream_); }

 private:
  absl::Status Decode(std::string_view input, char* data, size_t size, size_t* consumed, size_t* produced) override {
    if (between_streams_) {
      // Members may follow each other, and zeros may fill the file up.
      const size_t zeros = std::min(input.find_first_not_of('\0'), input.size());
      if (zeros > 0) {
        *consumed = zeros;
        return absl::OkStatus();
      }
      inflateReset(&stream_);
      between_streams_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = input.size();
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    stream_.avail_out = std::min<size_t>(size, 1 << 30);
    const size_t room = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    *consumed = input.size() - stream_.avail_in;
    *produced = room - stream_.avail_out;
    if (result == Z_STREAM_END) {
      between_streams_ = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return Damaged(stream_.msg != nullptr ? stream_.msg : Concatenate("zlib error ", result));
    }
    return absl::OkStatus();
  }
  z_stream stream_{};
};

class XzFile final : public DecodedFile {
 public:
  explicit XzFile(std::unique_ptr<RawFile> raw) : DecodedFile(std::move(raw), "xz") {
    RADLADS_CHECK(lzma_stream_decoder(&stream_, kXzMemoryLimit, LZMA_CONCATENATED) == LZMA_OK);
  }
  ~XzFile() override { lzma_end(&stream_); }

 private:
  absl::Status Decode(std::string_view input, char* data, size_t size, size_t* consumed, size_t* produced) override {
    stream_.next_in = reinterpret_cast<const uint8_t*>(input.data());
    stream_.avail_in = input.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(data);
    stream_.avail_out = size;
    const lzma_ret result = lzma_code(&stream_, input.empty() ? LZMA_FINISH : LZMA_RUN);
    *consumed = input.size() - stream_.avail_in;
    *produced = size - stream_.avail_out;
    switch (result) {
      case LZMA_OK:
      case LZMA_BUF_ERROR:
        return absl::OkStatus();
      case LZMA_STREAM_END:
        between_streams_ = true;
        return absl::OkStatus();
      case LZMA_MEMLIMIT_ERROR:
        return Damaged(
            Concatenate("it asks for ", lzma_memusage(&stream_), " bytes of memory, the limit is ", kXzMemoryLimit));
      case LZMA_FORMAT_ERROR:
        return Damaged("bytes that are not xz follow");
      case LZMA_DATA_ERROR:
        return Damaged("checksum or contents do not fit");
      default:
        return Damaged(Concatenate("lzma error ", static_cast<int>(result)));
    }
  }
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class ZstdFile final : public DecodedFile {
 public:
  explicit ZstdFile(std::unique_ptr<RawFile> raw) : DecodedFile(std::move(raw), "zstd"), stream_(ZSTD_createDStream()) {
    // Frames made with --long=31 are accepted; more memory than 2 GiB is not.
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 31);
  }
  ~ZstdFile() override { ZSTD_freeDStream(stream_); }

 private:
  absl::Status Decode(std::string_view input, char* data, size_t size, size_t* consumed, size_t* produced) override {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{data, size, 0};
    const size_t result = ZSTD_decompressStream(stream_, &out, &in);
    *consumed = in.pos;
    *produced = out.pos;
    if (ZSTD_isError(result)) return Damaged(ZSTD_getErrorName(result));
    between_streams_ = result == 0;
    return absl::OkStatus();
  }
  ZSTD_DStream* stream_;
};

class Lz4File final : public DecodedFile {
 public:
  explicit Lz4File(std::unique_ptr<RawFile> raw) : DecodedFile(std::move(raw), "lz4") {
    RADLADS_CHECK(!LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)));
  }
  ~Lz4File() override { LZ4F_freeDecompressionContext(context_); }

 private:
  absl::Status Decode(std::string_view input, char* data, size_t size, size_t* consumed, size_t* produced) override {
    *consumed = input.size();
    *produced = size;
    const size_t result = LZ4F_decompress(context_, data, produced, input.data(), consumed, nullptr);
    if (LZ4F_isError(result)) return Damaged(LZ4F_getErrorName(result));
    between_streams_ = result == 0;
    return absl::OkStatus();
  }
  LZ4F_dctx* context_ = nullptr;
};

}  // namespace

absl::Status CompressedFile::Skip(uint64_t bytes) {
  std::vector<char> block(kInputBlock);
  for (uint64_t skipped = 0; skipped < bytes;) {
    RADLADS_ASSIGN_OR_RETURN(const size_t got, Read(block.data(), std::min<uint64_t>(block.size(), bytes - skipped)));
    if (got == 0) return DataLoss(path(), " holds ", skipped, " bytes, expected at least ", bytes);
    skipped += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CompressedFile>> CompressedFile::Open(const std::string& path, std::stop_token stop) {
  const bool standard_input = path == "-";
  const int descriptor = standard_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const std::string message = Concatenate("cannot open ", path, ": ", std::strerror(errno));
    if (errno == EACCES) return absl::PermissionDeniedError(message);
    return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
  }
  auto raw = std::make_unique<RawFile>(standard_input ? "standard input" : path, descriptor, std::move(stop));
  RADLADS_RETURN_IF_ERROR(raw->Fill(6));
  const std::string_view magic = raw->unread();
  if (magic.starts_with("\x1f\x8b")) return std::make_unique<GzipFile>(std::move(raw));
  if (magic.starts_with(std::string_view("\xfd"
                                         "7zXZ\0",
                                         6))) {
    return std::make_unique<XzFile>(std::move(raw));
  }
  if (magic.starts_with("\x28\xb5\x2f\xfd")) return std::make_unique<ZstdFile>(std::move(raw));
  if (magic.starts_with("\x04\x22\x4d\x18")) return std::make_unique<Lz4File>(std::move(raw));
  if (magic.starts_with("PAR1")) {
    return InvalidArgument(raw->path(), " is a Parquet file, which is not read here; make JSON lines of it first");
  }
  return std::make_unique<PlainFile>(std::move(raw));
}

}  // namespace radlads
