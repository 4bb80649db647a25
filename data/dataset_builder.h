// From text to a token dataset: some threads read, some tokenise, the caller's writes in the order of the input. The
// dataset depends neither on the number of threads nor on interruptions.
#ifndef RADLADS_DATA_DATASET_BUILDER_H_
#define RADLADS_DATA_DATASET_BUILDER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/binidx.h"
#include "data/corpus.h"
#include "data/dataset_info.h"

namespace radlads {

// Appends the ids of a text. Used by one thread.
using EncodeFunction = std::function<void(std::string_view text, std::vector<int32_t>* ids)>;

struct BuildOptions {
  std::vector<std::string> paths;  // of ExpandInputs
  CorpusOptions corpus;
  std::string text_field = "text";  // see CorpusDocuments
  // Put at the end of every document; nothing when documents are not to be marked.
  std::optional<int32_t> eos_id;
  // Stop after the document that brings the dataset to so many tokens; 0 means never.
  int64_t limit_tokens = 0;
  int threads = 1;  // that tokenise; reading has its own
  // Leave out lines that are not JSON or lack the text, instead of stopping at the first.
  bool skip_bad_lines = false;
  bool show_progress = false;
};

struct BuildResult {
  // What each path has given to the dataset, earlier runs included.
  std::vector<DatasetSource> sources;
  int64_t empty_documents = 0;               // without a token, left out: the text is empty and no eos_id marks it
  int64_t bad_lines = 0;                     // left out
  std::vector<std::string> first_bad_lines;  // "file:line: reason", of the first few
  bool reached_limit = false;
  double seconds = 0;      // of this run, as the next two
  int64_t text_bytes = 0;  // of the documents that were written
  int64_t tokens = 0;
};

// Adds the documents to `writer`; the caller commits. When the writer continues an interrupted build, so does this: it
// takes the place in the input from the writer's cursors, and leaves cursors there if the writer has a job.
// `new_encoder` is called once per thread, from the calling thread.
// CANCELLED after `stop` was requested: then a point has been reached from which the work can be continued.
// Memory: some megabytes of text per thread, or the longest documents where they are longer.
absl::StatusOr<BuildResult> BuildDataset(const BuildOptions& options,
                                         const std::function<EncodeFunction()>& new_encoder, TokenDatasetWriter* writer,
                                         std::stop_token stop = {});

}  // namespace radlads

#endif  // RADLADS_DATA_DATASET_BUILDER_H_
