// Names of corpus files: what the inputs on a command line stand for, and which formats are read.
#ifndef RADLADS_DATA_CORPUS_INPUTS_H_
#define RADLADS_DATA_CORPUS_INPUTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

enum class CorpusFormat {
  kByName,     // .jsonl, .json, .ndjson: kJsonLines; .txt, .text, .md: text; .gz, .xz, .zst, .lz4 are looked past
  kJsonLines,  // an object per line
  kText,
};

// Nothing when the name does not tell.
std::optional<CorpusFormat> CorpusFormatByName(const std::string& path);

// The files that `inputs` name, in the order in which they are read: files and "-" as they are; a directory stands for
// all corpus files under it, sorted by path; *, ? and [] are expanded and sorted. INVALID_ARGUMENT or NOT_FOUND names
// an input that yields nothing, PERMISSION_DENIED a directory that cannot be listed.
absl::StatusOr<std::vector<std::string>> ExpandInputs(const std::vector<std::string>& inputs);

// INVALID_ARGUMENT when the format of a path is not known or not one that is read; nothing is opened.
absl::Status CheckFormats(const std::vector<std::string>& paths, CorpusFormat format);

// Size and time of last change of a file: what tells whether it is the same as before.
struct FileStamp {
  int64_t bytes = 0, modified_ns = 0;  // -1, 0 for what is no regular file
};
absl::StatusOr<FileStamp> StampOf(const std::string& path);

// Sum of the sizes of `paths`; 0 when one of them has none (a pipe).
uint64_t TotalSize(const std::vector<std::string>& paths);

}  // namespace radlads

#endif  // RADLADS_DATA_CORPUS_INPUTS_H_
