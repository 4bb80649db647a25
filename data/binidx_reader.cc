#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>

#include "base/parallel_for.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/binidx_layout.h"

namespace radlads {
namespace {

using binidx::Load;

// Calls visit(T{}) with the integer type that stores the tokens.
template <typename Visitor>
auto VisitTokenType(TokenType type, Visitor&& visit) {
  switch (type) {
    case TokenType::kUint8:
      return visit(uint8_t{});
    case TokenType::kInt8:
      return visit(int8_t{});
    case TokenType::kInt16:
      return visit(int16_t{});
    case TokenType::kInt32:
      return visit(int32_t{});
    case TokenType::kInt64:
      return visit(int64_t{});
    case TokenType::kUint16:
      return visit(uint16_t{});
  }
  RADLADS_CHECK(false) << "token type " << static_cast<int>(type);
  return visit(uint16_t{});
}

// Ends of documents that are looked at by one thread at a time when the index is checked.
constexpr int64_t kSequencesPerTask = 1 << 18;
constexpr int64_t kTokensPerTask = 1 << 22;

}  // namespace

int64_t TokenBytes(TokenType type) {
  return VisitTokenType(type, [](auto zero) { return static_cast<int64_t>(sizeof(zero)); });
}

const char* TokenTypeName(TokenType type) {
  switch (type) {
    case TokenType::kUint8:
      return "uint8";
    case TokenType::kInt8:
      return "int8";
    case TokenType::kInt16:
      return "int16";
    case TokenType::kInt32:
      return "int32";
    case TokenType::kInt64:
      return "int64";
    case TokenType::kUint16:
      return "uint16";
  }
  return "unknown";
}

TokenType TokenTypeForVocabulary(int64_t vocabulary_size) {
  return vocabulary_size <= 65536 ? TokenType::kUint16 : TokenType::kInt32;
}

std::string TokensPath(const std::string& prefix) {
  return prefix + ".bin";
}
std::string IndexPath(const std::string& prefix) {
  return prefix + ".idx";
}

absl::StatusOr<std::shared_ptr<const TokenDataset>> TokenDataset::Open(const std::string& prefix) {
  for (const std::string& path : {IndexPath(prefix), TokensPath(prefix)}) {
    if (!FileExists(path)) {
      return NotFound("there is no ", path,
                      "; a token dataset is a pair PREFIX.bin and PREFIX.idx, named by PREFIX without ",
                      "the ending; make_binidx build makes one from text");
    }
  }
  std::shared_ptr<TokenDataset> dataset(new TokenDataset);
  dataset->prefix_ = prefix;
  RADLADS_ASSIGN_OR_RETURN(dataset->index_, MappedFile::Open(IndexPath(prefix)));
  RADLADS_ASSIGN_OR_RETURN(dataset->bin_, MappedFile::Open(TokensPath(prefix)));
  RADLADS_RETURN_IF_ERROR(dataset->ReadHeader());
  RADLADS_RETURN_IF_ERROR(dataset->CheckSequences());
  RADLADS_RETURN_IF_ERROR(dataset->CheckDocumentIndex());
  return std::shared_ptr<const TokenDataset>(std::move(dataset));
}

absl::Status TokenDataset::ReadHeader() {
  const std::span<const uint8_t> bytes = index_->bytes();
  const std::string& path = index_->path();
  if (bytes.size() < binidx::kHeaderBytes) {
    return DataLoss(path, " has ", bytes.size(), " bytes, less than the ", binidx::kHeaderBytes,
                    " of an MMIDIDX header; the file is cut off or is not an index");
  }
  if (std::memcmp(bytes.data(), binidx::kMagic, sizeof(binidx::kMagic)) != 0) {
    return InvalidArgument(path, " does not begin with \"MMIDIDX\\0\\0\"; it is not an index of this format");
  }
  const uint64_t version = Load<uint64_t>(bytes.data() + binidx::kVersionAt);
  if (version != binidx::kVersion) {
    return InvalidArgument(path, " has format version ", version, ", expected ", binidx::kVersion);
  }
  const int code = bytes[binidx::kTypeAt];
  if (code < 1 || code > 8 || code == 6 || code == 7) {
    return InvalidArgument(path, " stores tokens as type code ", code,
                           code == 6 || code == 7 ? " (a float, and writers disagree on which)" : "",
                           "; expected 1 (uint8), 2 (int8), 3 (int16), 4 (int32), 5 (int64) or 8 (uint16)");
  }
  type_ = static_cast<TokenType>(code);
  const uint64_t sequences = Load<uint64_t>(bytes.data() + binidx::kSequencesAt);
  const uint64_t entries = Load<uint64_t>(bytes.data() + binidx::kDocumentsAt);
  // 12 bytes for each sequence, 8 for each entry; compared by division, so that hostile counts cannot overflow.
  const uint64_t room = bytes.size() - binidx::kHeaderBytes;
  if (sequences > room / 12 || entries > (room - sequences * 12) / 8) {
    return DataLoss(path, " announces ", sequences, " sequences and ", entries, " document entries, more than its ",
                    bytes.size(), " bytes can hold; the file is cut off or damaged");
  }
  const uint64_t rest = room - sequences * 12 - entries * 8;
  if (rest != 0 && rest == sequences) {
    return Unimplemented(path, " carries a mode for each sequence (a multimodal dataset); only text is supported");
  }
  if (rest != 0) {
    return DataLoss(path, " has ", bytes.size(), " bytes, expected ", bytes.size() - rest, " for ", sequences,
                    " sequences and ", entries, " document entries; the file is damaged");
  }
  sequences_ = sequences;
  document_entries_ = entries;
  sizes_ = bytes.data() + binidx::kHeaderBytes;
  pointers_ = sizes_ + sequences * sizeof(int32_t);
  document_index_ = pointers_ + sequences * sizeof(int64_t);

  const uint64_t width = TokenBytes(type_);
  const uint64_t bin_bytes = bin_->bytes().size();
  uint64_t expected = 0;
  if (sequences > 0) {
    const int64_t pointer = Load<int64_t>(pointers_ + (sequences - 1) * sizeof(int64_t));
    const int32_t size = Load<int32_t>(sizes_ + (sequences - 1) * sizeof(int32_t));
    if (pointer < 0 || size < 0 || pointer > std::numeric_limits<int64_t>::max() / 2) {
      return InvalidArgument(path, ": the last sequence has ", size, " tokens at byte ", pointer,
                             "; the index is damaged");
    }
    expected = pointer + size * width;
  }
  if (bin_bytes != expected) {
    return DataLoss(bin_->path(), " has ", bin_bytes, " bytes (", bin_bytes / width, " tokens), but ", path,
                    " describes ", expected, " (", expected / width, " tokens of ", TokenTypeName(type_), "); ",
                    bin_bytes < expected ? "the tokens are cut off" : "the index is older than the tokens",
                    " or the two files do not belong together: make or copy the pair again");
  }
  tokens_ = expected / width;
  return absl::OkStatus();
}

absl::Status TokenDataset::CheckSequences() const {
  const int64_t width = TokenBytes(type_);
  const int64_t tasks = (sequences_ + kSequencesPerTask - 1) / kSequencesPerTask;
  std::atomic<int64_t> first_bad{std::numeric_limits<int64_t>::max()};
  // Each sequence must begin where the one before ends: then every sum is right, and none overflows.
  auto begins_well = [&](int64_t i) {
    const int64_t pointer = Load<int64_t>(pointers_ + i * sizeof(int64_t));
    if (Load<int32_t>(sizes_ + i * sizeof(int32_t)) < 0) return false;
    if (i == 0) return pointer == 0;
    const int64_t before = Load<int64_t>(pointers_ + (i - 1) * sizeof(int64_t));
    const int64_t bytes = Load<int32_t>(sizes_ + (i - 1) * sizeof(int32_t)) * width;
    return before >= 0 && bytes >= 0 && pointer >= before && pointer - before == bytes;
  };
  ParallelForDynamic(tasks, [&](int64_t task) {
    const int64_t end = std::min(sequences_, (task + 1) * kSequencesPerTask);
    for (int64_t i = task * kSequencesPerTask; i < end; ++i) {
      if (begins_well(i)) continue;
      int64_t known = first_bad.load();
      while (i < known && !first_bad.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  if (first_bad == std::numeric_limits<int64_t>::max()) return absl::OkStatus();
  const int64_t i = first_bad;
  std::string expected = "0";
  if (i > 0) {
    expected = Concatenate(Load<int64_t>(pointers_ + (i - 1) * sizeof(int64_t)), " + ",
                           Load<int32_t>(sizes_ + (i - 1) * sizeof(int32_t)), " * ", width);
  }
  return InvalidArgument(index_->path(), ": sequence ", i, " of ", sequences_, " has ",
                         Load<int32_t>(sizes_ + i * sizeof(int32_t)), " tokens at byte ",
                         Load<int64_t>(pointers_ + i * sizeof(int64_t)), " of the tokens, expected it at byte ",
                         expected, ", where the one before ends; the index is damaged");
}

absl::Status TokenDataset::CheckDocumentIndex() {
  auto entry = [&](int64_t i) { return Load<int64_t>(document_index_ + i * sizeof(int64_t)); };
  const int64_t n = document_entries_;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t before = i == 0 ? 0 : entry(i - 1);
    if (entry(i) < before || entry(i) > sequences_ || (i == 0 && entry(i) != 0)) {
      return InvalidArgument(index_->path(), ": entry ", i, " of the document index is ", entry(i), ", expected ",
                             i == 0 ? "0" : Concatenate("a number from ", before, " to ", sequences_),
                             "; the index is damaged");
    }
  }
  complete_document_index_ = n > 0 && entry(n - 1) == sequences_;
  if (complete_document_index_) {
    documents_ = n - 1;
    return absl::OkStatus();
  }
  // The original RADLADS script writes range(N): the last entry is N - 1, and every sequence is a document.
  if (n == sequences_ && (n == 0 || entry(n - 1) == n - 1)) {
    documents_ = n;
    return absl::OkStatus();
  }
  return InvalidArgument(index_->path(), ": the document index has ", n, " entries",
                         n > 0 ? Concatenate(" and ends with ", entry(n - 1)) : "", ", expected it to end with ",
                         sequences_, ", the number of sequences");
}

int64_t TokenDataset::SequenceBegin(int64_t sequence) const {
  if (sequence == sequences_) return tokens_;
  return Load<int64_t>(pointers_ + sequence * sizeof(int64_t)) / TokenBytes(type_);
}

int64_t TokenDataset::DocumentBegin(int64_t document) const {
  RADLADS_CHECK(document >= 0 && document <= documents_) << "document " << document << " of " << documents_;
  if (document == documents_) return tokens_;
  return SequenceBegin(Load<int64_t>(document_index_ + document * sizeof(int64_t)));
}

int64_t TokenDataset::DocumentOf(int64_t token) const {
  RADLADS_CHECK(token >= 0 && token < tokens_) << "token " << token << " of " << tokens_;
  int64_t low = 0, high = documents_;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (DocumentBegin(middle) <= token ? low : high) = middle;
  }
  return low;
}

template <typename T>
absl::Status TokenDataset::ReadAs(int64_t first, std::span<T> out) const {
  const int64_t count = out.size();
  if (first < 0 || count > tokens_ || first > tokens_ - count) {
    return absl::OutOfRangeError(Concatenate("tokens ", first, " to ", first, " + ", count, " of ", prefix_,
                                             " were asked for, which has ", tokens_));
  }
  VisitTokenType(type_, [&](auto zero) {
    using Stored = decltype(zero);
    const uint8_t* at = bin_->bytes().data() + first * sizeof(Stored);
    for (int64_t i = 0; i < count; ++i) {
      const Stored value = Load<Stored>(at + i * sizeof(Stored));
      if constexpr (sizeof(Stored) > sizeof(T)) {
        out[i] = value == static_cast<Stored>(static_cast<T>(value)) ? static_cast<T>(value) : T{-1};
      } else {
        out[i] = value;
      }
    }
  });
  return absl::OkStatus();
}

absl::Status TokenDataset::Read(int64_t first, std::span<int64_t> out) const {
  return ReadAs(first, out);
}
absl::Status TokenDataset::Read(int64_t first, std::span<int32_t> out) const {
  return ReadAs(first, out);
}

std::span<const uint8_t> TokenDataset::Stored(int64_t first, int64_t count) const {
  RADLADS_CHECK(first >= 0 && count >= 0 && first <= tokens_ - count) << first << " + " << count << " of " << tokens_;
  const int64_t width = TokenBytes(type_);
  return bin_->bytes().subspan(first * width, count * width);
}

TokenDataset::Outsiders TokenDataset::FindOutsiders(int64_t vocabulary_size,
                                                    const std::function<void(int64_t tokens)>& progress) const {
  Outsiders found;
  std::mutex mutex;
  ParallelForDynamic((tokens_ + kTokensPerTask - 1) / kTokensPerTask, [&](int64_t task) {
    const int64_t begin = task * kTokensPerTask, end = std::min(tokens_, begin + kTokensPerTask);
    Outsiders mine;
    VisitTokenType(type_, [&](auto zero) {
      using Stored = decltype(zero);
      const uint8_t* data = bin_->bytes().data();
      for (int64_t i = begin; i < end; ++i) {
        const int64_t id = Load<Stored>(data + i * sizeof(Stored));
        if (id >= 0 && id < vocabulary_size) continue;
        if (mine.count++ == 0) {
          mine.first_position = i;
          mine.first_id = id;
        }
      }
    });
    if (progress) progress(end - begin);
    if (mine.count == 0) return;
    std::lock_guard<std::mutex> lock(mutex);
    found.count += mine.count;
    if (found.first_position < 0 || mine.first_position < found.first_position) {
      found.first_position = mine.first_position;
      found.first_id = mine.first_id;
    }
  });
  return found;
}

absl::Status TokenDataset::CheckVocabulary(int64_t vocabulary_size,
                                           const std::function<void(int64_t tokens)>& progress) const {
  const Outsiders found = FindOutsiders(vocabulary_size, progress);
  if (found.count == 0) return absl::OkStatus();
  return InvalidArgument(TokensPath(prefix_), ": token ", found.first_position, " (document ",
                         DocumentOf(found.first_position), ") is ", found.first_id, ", outside of the vocabulary of ",
                         vocabulary_size, " ids; ", found.count, " of ", tokens_,
                         " tokens are. The data was made with another tokenizer than the model's");
}

}  // namespace radlads
