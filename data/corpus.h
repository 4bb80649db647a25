// Text corpora as a stream of documents: JSON lines and plain text, from files that may be compressed. A file is read
// in blocks of whole documents (CorpusFile), which any number of threads may then take apart (corpus_documents.h).
#ifndef RADLADS_DATA_CORPUS_H_
#define RADLADS_DATA_CORPUS_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/compressed_file.h"
#include "data/corpus_inputs.h"

namespace radlads {

enum class TextDocuments {
  kFile,        // a document per file
  kLines,       // a document per line that is not blank
  kBlankLines,  // a document per run of lines that are not blank
};

struct CorpusOptions {
  CorpusFormat format = CorpusFormat::kByName;
  TextDocuments documents = TextDocuments::kFile;
};

// The longest document, in bytes of the decompressed file: what keeps memory bounded.
inline constexpr size_t kLongestDocument = size_t{256} << 20;

// A place between two documents of a file.
struct CorpusPosition {
  uint64_t offset = 0;  // decompressed bytes before it
  int64_t line = 0;     // lines before it
  uint32_t crc32c = 0;  // of these bytes; kept for standard input only, where it tells one stream from another
};

// Consecutive documents as they stand in the file.
struct CorpusBlock {
  // Bytes that may be read, not used, after the end of text(): what a vectorised parser wants.
  static constexpr size_t kPadding = 64;

  std::string path;
  CorpusFormat format = CorpusFormat::kText;
  TextDocuments documents = TextDocuments::kFile;
  CorpusPosition begin, end;
  uint64_t input_bytes = 0;  // of the (compressed) file that were read for this block

  std::string_view text() const { return {data_.get(), size_}; }
  // Room for `more` bytes after text(), which Extend then adds to it.
  char* Reserve(size_t more);
  void Extend(size_t bytes) { size_ += bytes; }
  void Shrink(size_t size) { size_ = size; }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  size_t size_ = 0, capacity_ = 0;
};

// Reads one file from front to end. Memory: a block of about a megabyte, or the longest document where that is longer.
// Not thread-safe.
class CorpusFile {
 public:
  // Continues at `position`, which an earlier reader of the same file gave as the end of a block. FAILED_PRECONDITION
  // when standard input does not begin with what was read then, DATA_LOSS when there is less of it. Waiting for a pipe
  // ends with CANCELLED soon after `stop` was requested.
  static absl::StatusOr<std::unique_ptr<CorpusFile>> Open(const std::string& path, const CorpusOptions& options,
                                                          const CorpusPosition& position = {},
                                                          std::stop_token stop = {});

  // The next documents; nothing at the end of the file. What stands before an error comes before the error.
  // INVALID_ARGUMENT for a document that is longer than kLongestDocument.
  absl::StatusOr<std::unique_ptr<CorpusBlock>> Next();

 private:
  CorpusFile(std::string path, CorpusFormat format, TextDocuments documents, CorpusPosition position,
             std::unique_ptr<CompressedFile> file)
      : path_(std::move(path)), format_(format), documents_(documents), at_(position), file_(std::move(file)) {}
  absl::Status SkipTo(const CorpusPosition& position);
  bool by_line() const { return format_ == CorpusFormat::kJsonLines || documents_ == TextDocuments::kLines; }
  // The end of the last whole document of `text`, of which the first `known` bytes hold no such end; 0 when none.
  size_t LastEnd(std::string_view text, size_t known) const;

  const std::string path_;
  const CorpusFormat format_;
  const TextDocuments documents_;
  CorpusPosition at_;
  std::unique_ptr<CompressedFile> file_;
  std::string rest_;     // read already, after the last block
  absl::Status status_;  // what reading ended with
  bool ended_ = false;
  uint64_t reported_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_DATA_CORPUS_H_
