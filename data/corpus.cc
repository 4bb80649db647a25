#include "data/corpus.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/crc32c.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kReadBytes = 1 << 18;

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

}  // namespace

char* CorpusBlock::Reserve(size_t more) {
  if (size_ + more + kPadding > capacity_) {
    // realloc moves pages instead of copying them where a document is long.
    capacity_ = std::max(size_ + more + kPadding, capacity_ + capacity_ / 4);
    char* data = static_cast<char*>(std::realloc(data_.release(), capacity_));
    RADLADS_CHECK(data != nullptr) << "no memory for a document of " << capacity_ << " bytes";
    data_.reset(data);
  }
  return data_.get() + size_;
}

absl::StatusOr<std::unique_ptr<CorpusFile>> CorpusFile::Open(const std::string& path, const CorpusOptions& options,
                                                             const CorpusPosition& position, std::stop_token stop) {
  RADLADS_RETURN_IF_ERROR(CheckFormats({path}, options.format));
  const CorpusFormat format = options.format == CorpusFormat::kByName ? *CorpusFormatByName(path) : options.format;
  RADLADS_ASSIGN_OR_RETURN(auto file, CompressedFile::Open(path, std::move(stop)));
  const std::string name = path == "-" ? "standard input" : path;
  std::unique_ptr<CorpusFile> corpus(new CorpusFile(name, format, options.documents, position, std::move(file)));
  RADLADS_RETURN_IF_ERROR(corpus->SkipTo(position));
  return corpus;
}

absl::Status CorpusFile::SkipTo(const CorpusPosition& position) {
  if (path_ != "standard input") return file_->Skip(position.offset);
  uint32_t crc32c = 0;
  std::string block(kReadBytes, '\0');
  for (uint64_t skipped = 0; skipped < position.offset;) {
    const size_t wanted = std::min<uint64_t>(block.size(), position.offset - skipped);
    RADLADS_ASSIGN_OR_RETURN(const size_t got, file_->Read(block.data(), wanted));
    if (got == 0) {
      return DataLoss("standard input ended after ", skipped, " bytes, but the interrupted run had read ",
                      position.offset, "; give it the same input again, or add --restart");
    }
    crc32c = Crc32c({block.data(), got}, crc32c);
    skipped += got;
  }
  if (crc32c == position.crc32c) return absl::OkStatus();
  return FailedPrecondition("standard input does not begin with the ", position.offset,
                            " bytes that the interrupted run read; give it the same input again, or add --restart");
}

size_t CorpusFile::LastEnd(std::string_view text, size_t known) const {
  const size_t in_new = text.substr(known).rfind('\n');
  size_t newline = in_new == std::string_view::npos ? in_new : known + in_new;
  while (newline != std::string_view::npos && newline >= known) {
    if (by_line()) return newline + 1;
    // A document ends with the blank line after it.
    const size_t before = newline == 0 ? std::string_view::npos : text.rfind('\n', newline - 1);
    const size_t line = before == std::string_view::npos ? 0 : before + 1;
    if (IsBlank(text.substr(line, newline - line))) return newline + 1;
    newline = before;
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<CorpusBlock>> CorpusFile::Next() {
  if (ended_) {
    if (status_.ok()) return nullptr;
    return status_;
  }
  auto block = std::make_unique<CorpusBlock>();
  std::memcpy(block->Reserve(kBlockBytes + kReadBytes), rest_.data(), rest_.size());
  block->Extend(rest_.size());
  rest_.clear();
  const bool whole_file = !by_line() && documents_ == TextDocuments::kFile;
  size_t cut = 0;
  for (size_t known = 0; cut == 0;) {
    while (block->text().size() < kBlockBytes || block->text().size() == known) {
      const absl::StatusOr<size_t> got = file_->Read(block->Reserve(kReadBytes), kReadBytes);
      if (!got.ok()) status_ = got.status();
      ended_ = !got.ok() || *got == 0;
      if (ended_) break;
      block->Extend(*got);
    }
    if (ended_ && status_.ok()) {
      cut = block->text().size();
      if (cut == 0) return nullptr;
      break;
    }
    if (!whole_file) cut = LastEnd(block->text(), known);
    if (cut > 0) break;
    if (ended_) return status_;  // in the middle of the first document
    known = block->text().size();
    if (known > kLongestDocument) {
      ended_ = true;
      status_ = InvalidArgument(
          path_, ":", at_.line + 1, ": the ", by_line() ? "line" : "document", " is longer than the ", kLongestDocument,
          " bytes that are supported; ",
          by_line() ? "is this a text file with a document per line?" : "cut it (--documents lines or blank_lines)");
      return status_;
    }
  }
  rest_.assign(block->text().substr(cut));
  block->Shrink(cut);
  block->path = path_;
  block->format = format_;
  block->documents = documents_;
  block->begin = at_;
  at_.offset += cut;
  at_.line += std::count(block->text().begin(), block->text().end(), '\n');
  if (path_ == "standard input") at_.crc32c = Crc32c(block->text(), at_.crc32c);
  block->end = at_;
  block->input_bytes = file_->bytes_consumed() - reported_;
  reported_ += block->input_bytes;
  return block;
}

}  // namespace radlads
