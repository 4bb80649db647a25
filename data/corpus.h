// Text corpora as a stream of documents: JSON lines and plain text, from files that may be compressed.
#ifndef RADLADS_DATA_CORPUS_H_
#define RADLADS_DATA_CORPUS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/compressed_file.h"

namespace radlads {

enum class CorpusFormat {
  kByName,     // .jsonl, .json, .ndjson: kJsonLines; .txt, .text, .md: text; the endings .gz, .xz, .zst are looked past
  kJsonLines,  // an object per line
  kText,
};

enum class TextDocuments {
  kFile,        // a document per file
  kLines,       // a document per line that is not blank
  kBlankLines,  // a document per run of lines that are not blank
};

struct CorpusOptions {
  CorpusFormat format = CorpusFormat::kByName;
  TextDocuments documents = TextDocuments::kFile;
};

// A document before its JSON is looked at: for JSON lines the whole line.
struct RawDocument {
  std::string text;
  int64_t line = 0;  // where it begins, from 1
};

// Consecutive documents of one file.
struct CorpusBlock {
  std::string path;
  bool is_json = false;
  std::vector<RawDocument> documents;
  uint64_t input_bytes = 0;  // of the (compressed) file that were read for this block
};

// The files that `inputs` name, in the order in which they are read: files and "-" as they are; a directory stands for
// all corpus files under it, sorted by path; *, ? and [] are expanded and sorted. INVALID_ARGUMENT or NOT_FOUND names
// an input that yields nothing.
absl::StatusOr<std::vector<std::string>> ExpandInputs(const std::vector<std::string>& inputs);

// Sum of the sizes of `paths`; 0 when one of them has none (a pipe).
uint64_t TotalSize(const std::vector<std::string>& paths);

// Reads files one after another. Memory: one block. Not thread-safe.
class CorpusReader {
 public:
  // INVALID_ARGUMENT when the format of a path is not known; nothing has been read then.
  static absl::StatusOr<std::unique_ptr<CorpusReader>> Create(std::vector<std::string> paths,
                                                              const CorpusOptions& options);

  // Fills `block` with about a megabyte of documents, fewer or none where a file ends. False after the last file.
  // INVALID_ARGUMENT for a document of 1 GiB or more.
  absl::StatusOr<bool> Next(CorpusBlock* block);

 private:
  CorpusReader(std::vector<std::string> paths, CorpusOptions options) : paths_(std::move(paths)), options_(options) {}
  absl::Status OpenNext();
  // The next line without its end; false at the end of the file.
  absl::StatusOr<bool> ReadLine(std::string* line);
  absl::StatusOr<bool> ReadDocument(RawDocument* document);

  std::vector<std::string> paths_;
  CorpusOptions options_;
  size_t next_path_ = 0;
  std::string path_;
  bool is_json_ = false;
  std::unique_ptr<CompressedFile> file_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  int64_t line_ = 0;  // lines read so far
  uint64_t reported_ = 0;
};

// The string under `field` of a JSON object. INVALID_ARGUMENT says what is wrong with the line (not where it stands).
absl::StatusOr<std::string> TextOfJsonLine(std::string_view line, const std::string& field);

}  // namespace radlads

#endif  // RADLADS_DATA_CORPUS_H_
