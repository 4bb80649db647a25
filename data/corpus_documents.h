// The documents of a corpus block, one after another, decoded where the format asks for it.
#ifndef RADLADS_DATA_CORPUS_DOCUMENTS_H_
#define RADLADS_DATA_CORPUS_DOCUMENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/corpus.h"

namespace radlads {

// Takes blocks apart. Owns the parser and its memory: keep one per thread for many blocks. Not thread-safe.
class CorpusDocuments {
 public:
  // JSON lines: the text is the string under `text_field`, or, where no field has that name, the string at that path
  // of names with dots between them ("meta.body"). UTF-8 that is not well-formed makes a line invalid JSON; in plain
  // text it is passed on as it is.
  explicit CorpusDocuments(std::string text_field);
  ~CorpusDocuments();

  // `block` must outlive its documents.
  void Start(const CorpusBlock* block);

  struct Document {
    std::string_view text;  // until the next call
    int64_t line = 0;       // where it begins, from 1
  };
  // False at the end of the block. INVALID_ARGUMENT ("FILE:LINE: reason") for a bad line; the call after it goes on
  // with the next.
  absl::StatusOr<bool> Next(Document* document);

 private:
  struct JsonParser;

  // The next line without its end; false at the end of the block.
  bool NextLine(std::string_view* line);
  bool NextText(Document* document);
  absl::StatusOr<std::string_view> TextOfJsonLine(std::string_view line);
  absl::StatusOr<std::string_view> TextOfUnusualLine(std::string_view line);

  const std::string text_field_;
  std::string pointer_;  // text_field_ as a JSON pointer
  std::unique_ptr<JsonParser> parser_;
  const CorpusBlock* block_ = nullptr;
  size_t at_ = 0;
  int64_t line_ = 0;  // lines read so far
  std::string joined_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_CORPUS_DOCUMENTS_H_
