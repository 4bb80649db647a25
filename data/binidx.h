// Token datasets in Megatron's MMIDIDX format: PREFIX.bin holds the tokens of all documents back to back, PREFIX.idx
// says where they begin. The format is written down in docs/formats/binidx.md; Megatron-LM, GPT-NeoX, RWKV-LM and the
// original RADLADS read what we write, and we read what they write.
#ifndef RADLADS_DATA_BINIDX_H_
#define RADLADS_DATA_BINIDX_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file.h"
#include "data/journal.h"

namespace radlads {

// How one token is stored. The values are the format's codes; 6 and 7 mean different floats to different writers
// and are refused.
enum class TokenType : uint8_t { kUint8 = 1, kInt8 = 2, kInt16 = 3, kInt32 = 4, kInt64 = 5, kUint16 = 8 };

int64_t TokenBytes(TokenType type);
const char* TokenTypeName(TokenType type);  // "uint16"
// What the writers of the format choose: uint16 for vocabularies of up to 65536 tokens, else int32.
TokenType TokenTypeForVocabulary(int64_t vocabulary_size);

std::string TokensPath(const std::string& prefix);  // PREFIX.bin
std::string IndexPath(const std::string& prefix);   // PREFIX.idx

// A pair of files, mapped for the lifetime of the object and fully validated at Open. Immutable: safe to share between
// threads. The files must not be truncated while they are open.
class TokenDataset {
 public:
  // NOT_FOUND when a file of the pair is missing. INVALID_ARGUMENT when the index is not one (magic, version, token
  // type, counts, sizes, pointers, document index). DATA_LOSS when a file is shorter or longer than the index says.
  static absl::StatusOr<std::shared_ptr<const TokenDataset>> Open(const std::string& prefix);

  const std::string& prefix() const { return prefix_; }
  TokenType type() const { return type_; }
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  // False when doc_idx lacks its last entry, as the original RADLADS script writes it; Megatron refuses such files.
  bool has_complete_document_index() const { return complete_document_index_; }

  // Document d holds the tokens [DocumentBegin(d), DocumentBegin(d + 1)); d in [0, documents()].
  int64_t DocumentBegin(int64_t document) const;
  // The document that token `token` in [0, tokens()) belongs to. O(log documents).
  int64_t DocumentOf(int64_t token) const;

  // The tokens [first, first + count), which must exist, as they are stored.
  std::span<const uint8_t> Stored(int64_t first, int64_t count) const;

  // Copies the tokens [first, first + out.size()) across document ends. OUT_OF_RANGE when they do not exist.
  // Values are as stored: compare them with a vocabulary yourself or use CheckVocabulary. int64 tokens that do not fit
  // int32 read as -1 through the int32 overload.
  absl::Status Read(int64_t first, std::span<int64_t> out) const;
  absl::Status Read(int64_t first, std::span<int32_t> out) const;

  // Ids that are negative or not below a vocabulary.
  struct Outsiders {
    int64_t count = 0;
    int64_t first_position = -1;  // in tokens from the start of the dataset
    int64_t first_id = 0;
  };
  // Reads every token, on all cores. `progress`, if there is one, is told from any of them how many more were read.
  Outsiders FindOutsiders(int64_t vocabulary_size, const std::function<void(int64_t tokens)>& progress = {}) const;
  // INVALID_ARGUMENT that names the first id outside of the vocabulary and where it stands.
  absl::Status CheckVocabulary(int64_t vocabulary_size, const std::function<void(int64_t tokens)>& progress = {}) const;

 private:
  TokenDataset() = default;
  absl::Status ReadHeader();
  absl::Status CheckSequences() const;
  absl::Status CheckDocumentIndex();
  int64_t SequenceBegin(int64_t sequence) const;  // in tokens; sequence in [0, sequences_]
  template <typename T>
  absl::Status ReadAs(int64_t first, std::span<T> out) const;

  std::string prefix_;
  std::shared_ptr<const MappedFile> index_, bin_;
  TokenType type_ = TokenType::kUint16;
  int64_t sequences_ = 0, document_entries_ = 0, documents_ = 0, tokens_ = 0;
  bool complete_document_index_ = true;
  // The arrays of the index, unaligned: read through memcpy only.
  const uint8_t *sizes_ = nullptr, *pointers_ = nullptr, *document_index_ = nullptr;
};

// Appends `ids` as they are stored in PREFIX.bin. INVALID_ARGUMENT names the first that does not fit the type; nothing
// is appended then.
absl::Status EncodeTokens(std::span<const int32_t> ids, TokenType type, std::vector<uint8_t>* encoded);

struct TokenDatasetWriterOptions {
  // What the dataset is made from and how, as a JSON object. An interrupted run with the same job is continued; without
  // one nothing outlives the writer but what Commit() shows.
  std::string job;
  bool restart = false;  // drop what an interrupted run has left, whatever its job was
  double seconds_between_points = 2;
};

// Writes a dataset document by document into PREFIX.partial.*; nothing is visible under the final names before
// Commit(). With a job, Checkpoint() marks points from which a later writer continues after a crash; see "Interrupted
// work" in docs/formats/binidx.md. A writer that is destroyed before its first point leaves nothing behind. One writer
// at a time: PREFIX is locked. Memory: a few megabytes however large the dataset is. Not thread-safe.
class TokenDatasetWriter {
 public:
  // Brings a Commit() that was interrupted to its end, whatever its job was; Create() does so too. To be called before
  // a dataset is opened that may be about to be replaced.
  static absl::Status Recover(const std::string& prefix);

  // FAILED_PRECONDITION when another process writes to PREFIX, or when an interrupted run with another job has left
  // points there; the message says what differs.
  static absl::StatusOr<std::unique_ptr<TokenDatasetWriter>> Create(const std::string& prefix, TokenType type,
                                                                    const TokenDatasetWriterOptions& options = {});
  ~TokenDatasetWriter();
  TokenDatasetWriter(const TokenDatasetWriter&) = delete;
  TokenDatasetWriter& operator=(const TokenDatasetWriter&) = delete;

  // What was given to Checkpoint() at the points of the runs that are continued, oldest first. The dataset holds what
  // it held at the last of them.
  const std::vector<std::string>& cursors() const { return cursors_; }

  // Appends one document (one sequence of the format). INVALID_ARGUMENT when an id does not fit the token type or the
  // document has 2^31 tokens or more; nothing of it is written then.
  absl::Status AddDocument(std::span<const int32_t> tokens);
  // Appends documents of the given lengths that are encoded already (EncodeTokens), back to back.
  absl::Status AddDocuments(std::span<const int32_t> lengths, std::span<const uint8_t> encoded);

  // Whether Checkpoint() may be called, and whether it is time to: options.seconds_between_points have passed.
  bool has_job() const { return !options_.job.empty(); }
  bool PointIsDue() const;
  bool has_points() const { return !journal_->records().empty(); }  // something outlives the writer
  // Brings what was added to the disk and remembers `cursor`, a JSON value that says where the input continues.
  absl::Status Checkpoint(std::string_view cursor);

  // Makes the dataset appear: tokens first, index last, so that no reader ever sees an index without its tokens. An
  // older dataset of the same name is replaced. `description`, unless empty, becomes PREFIX.json (see dataset_info.h);
  // an older PREFIX.json is removed in any case.
  absl::Status Commit(std::string_view description = {});

  const std::string& prefix() const { return prefix_; }
  TokenType type() const { return type_; }
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  uint32_t tokens_crc32c() const { return tokens_crc32c_; }  // of PREFIX.bin

 private:
  TokenDatasetWriter(std::string prefix, TokenType type, TokenDatasetWriterOptions options)
      : prefix_(std::move(prefix)), type_(type), options_(std::move(options)) {}
  absl::Status Restore();
  absl::Status WriteIndex() const;
  void RemovePartialFiles();

  std::string prefix_;
  TokenType type_;
  TokenDatasetWriterOptions options_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<AppendFile> bin_, sizes_;
  std::vector<std::string> cursors_;
  std::vector<uint8_t> encoded_;
  int64_t tokens_ = 0, documents_ = 0;
  uint32_t tokens_crc32c_ = 0, sizes_crc32c_ = 0;
  bool committed_ = false;
  std::chrono::steady_clock::time_point last_point_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_BINIDX_H_
