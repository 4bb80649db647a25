#include "data/dataset_builder.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <thread>

#include "base/progress.h"
#include "base/status.h"
#include "data/corpus_documents.h"
#include "data/ordered_pipeline.h"

namespace radlads {
namespace {

using nlohmann::json;

constexpr size_t kBadLinesShown = 10;
constexpr size_t kMostReaders = 8;
constexpr uint64_t kPieceOverhead = 1 << 14;
// Ids of one document that are kept as scratch memory.
constexpr size_t kKeptIds = 8 << 20;

// A block on its way: read, then encoded, then written.
struct Piece {
  size_t input = 0;
  bool last = false;  // the file ends here; there is no block
  uint64_t bytes = 0;
  std::unique_ptr<CorpusBlock> block;
  // Of the documents, in order.
  std::vector<int32_t> lengths;
  std::vector<uint32_t> text_bytes;
  std::vector<uint8_t> tokens;  // as stored, back to back
  int64_t empty_documents = 0;
  std::vector<std::string> bad_lines;
  // Why reading or encoding stopped after the documents above.
  absl::Status status;
};
using Pipeline = OrderedPipeline<Piece>;

struct Place {
  size_t input = 0;  // the number of inputs when all are done
  CorpusPosition position;
};

void ReadInputs(const BuildOptions& options, const Place& start, std::stop_token stop, Pipeline* pipeline) {
  while (const std::optional<size_t> input = pipeline->TakeInput()) {
    auto file = CorpusFile::Open(options.paths[*input], options.corpus,
                                 *input == start.input ? start.position : CorpusPosition(), stop);
    bool more = true;
    while (more) {
      auto piece = std::make_unique<Piece>();
      piece->input = *input;
      piece->status = file.status();
      if (file.ok()) {
        auto block = (*file)->Next();
        piece->status = block.status();
        if (block.ok()) piece->block = *std::move(block);
      }
      piece->bytes = kPieceOverhead + (piece->block != nullptr ? piece->block->text().size() : 0);
      more = piece->block != nullptr;
      piece->last = !more;
      if (!pipeline->Push(std::move(piece))) return;
    }
  }
}

// A worker's own: what turns blocks into tokens.
class Worker {
 public:
  Worker(const BuildOptions& options, TokenType type, EncodeFunction encode)
      : options_(options), type_(type), encode_(std::move(encode)), documents_(options.text_field) {}

  void Run(Pipeline* pipeline) {
    while (Piece* piece = pipeline->Take()) {
      if (piece->block != nullptr) Encode(piece);
      pipeline->MarkDone(piece);
    }
  }

 private:
  void Encode(Piece* piece) {
    documents_.Start(piece->block.get());
    CorpusDocuments::Document document;
    while (piece->status.ok()) {
      const absl::StatusOr<bool> more = documents_.Next(&document);
      if (more.ok() && !*more) break;
      if (more.ok()) {
        Add(document, piece);
      } else if (options_.skip_bad_lines) {
        piece->bad_lines.emplace_back(more.status().message());
      } else {
        piece->status = InvalidArgument(more.status().message(),
                                        ". Correct the line, or leave such lines out with --skip_bad_lines");
      }
    }
    // The text is not needed any more, its place is.
    auto place = std::make_unique<CorpusBlock>();
    place->path = piece->block->path;
    place->end = piece->block->end;
    place->input_bytes = piece->block->input_bytes;
    piece->block = std::move(place);
    FlushIds(piece);
  }

  void Add(const CorpusDocuments::Document& document, Piece* piece) {
    const size_t before = ids_.size();
    encode_(document.text, &ids_);
    if (options_.eos_id) ids_.push_back(*options_.eos_id);
    if (ids_.size() == before) {
      ++piece->empty_documents;
      return;
    }
    piece->lengths.push_back(ids_.size() - before);
    piece->text_bytes.push_back(document.text.size());
  }

  void FlushIds(Piece* piece) {
    const absl::Status status = EncodeTokens(ids_, type_, &piece->tokens);
    if (!status.ok()) {
      piece->status = Annotate(status, "the tokenizer");
      piece->lengths.clear();
    }
    ids_.clear();
    if (ids_.capacity() > kKeptIds) ids_.shrink_to_fit();
  }

  const BuildOptions& options_;
  const TokenType type_;
  EncodeFunction encode_;
  CorpusDocuments documents_;
  std::vector<int32_t> ids_;
};

// The consumer's side: what has been written of which input, and the cursors that say so.
class Ledger {
 public:
  Ledger(const BuildOptions& options, TokenDatasetWriter* writer) : options_(options), writer_(writer) {
    result_.sources.resize(options.paths.size());
    for (size_t i = 0; i < options.paths.size(); ++i) result_.sources[i].name = options.paths[i];
    for (const std::string& cursor : writer->cursors()) Restore(json::parse(cursor));
    changed_.clear();
  }

  const Place& place() const { return place_; }
  BuildResult& result() { return result_; }

  // Writes a piece's documents. False when the limit is reached.
  absl::StatusOr<bool> Write(const Piece& piece) {
    const size_t width = TokenBytes(writer_->type());
    size_t documents = piece.lengths.size(), tokens = piece.tokens.size() / width;
    if (options_.limit_tokens > 0 && writer_->tokens() + static_cast<int64_t>(tokens) >= options_.limit_tokens) {
      int64_t missing = options_.limit_tokens - writer_->tokens();
      tokens = 0;
      for (documents = 0; documents < piece.lengths.size() && missing > 0; ++documents) {
        missing -= piece.lengths[documents];
        tokens += piece.lengths[documents];
      }
      result_.reached_limit = missing <= 0;
    }
    RADLADS_RETURN_IF_ERROR(
        writer_->AddDocuments({piece.lengths.data(), documents}, {piece.tokens.data(), tokens * width}));
    DatasetSource& source = result_.sources[piece.input];
    const int64_t text = std::accumulate(piece.text_bytes.begin(), piece.text_bytes.begin() + documents, int64_t{0});
    source.documents += documents;
    source.tokens += tokens;
    source.text_bytes += text;
    result_.text_bytes += text;
    result_.tokens += tokens;
    changed_.insert(piece.input);
    if (result_.reached_limit) return false;
    RADLADS_RETURN_IF_ERROR(piece.status);
    result_.empty_documents += piece.empty_documents;
    result_.bad_lines += piece.bad_lines.size();
    for (const std::string& line : piece.bad_lines) {
      if (result_.first_bad_lines.size() < kBadLinesShown) result_.first_bad_lines.push_back(line);
    }
    place_ = piece.last ? Place{piece.input + 1, {}} : Place{piece.input, piece.block->end};
    return true;
  }

  absl::Status Checkpoint() {
    json cursor;
    cursor["input"] = place_.input;
    cursor["offset"] = place_.position.offset;
    cursor["line"] = place_.position.line;
    cursor["crc32c"] = place_.position.crc32c;
    cursor["empty_documents"] = result_.empty_documents;
    cursor["bad_lines"] = result_.bad_lines;
    cursor["first_bad_lines"] = result_.first_bad_lines;
    // Only what has changed since the last point: there may be very many inputs.
    for (const size_t input : changed_) {
      const DatasetSource& source = result_.sources[input];
      cursor["sources"].push_back({input, source.documents, source.tokens, source.text_bytes});
    }
    changed_.clear();
    return writer_->Checkpoint(cursor.dump(-1, ' ', false, json::error_handler_t::replace));
  }

 private:
  void Restore(const json& cursor) {
    if (!cursor.contains("input")) return;  // of other work on the same dataset
    place_.input = cursor["input"];
    place_.position.offset = cursor["offset"];
    place_.position.line = cursor["line"];
    place_.position.crc32c = cursor["crc32c"];
    result_.empty_documents = cursor["empty_documents"];
    result_.bad_lines = cursor["bad_lines"];
    result_.first_bad_lines = cursor["first_bad_lines"].get<std::vector<std::string>>();
    for (const json& counts : cursor.value("sources", json::array())) {
      DatasetSource& source = result_.sources.at(counts[0].get<size_t>());
      source.documents = counts[1];
      source.tokens = counts[2];
      source.text_bytes = counts[3];
    }
  }

  const BuildOptions& options_;
  TokenDatasetWriter* writer_;
  Place place_;
  BuildResult result_;
  std::set<size_t> changed_;
};

uint64_t BytesBefore(const std::vector<std::string>& paths, const Place& place) {
  return TotalSize({paths.begin(), paths.begin() + place.input});
}

}  // namespace

absl::StatusOr<BuildResult> BuildDataset(const BuildOptions& options,
                                         const std::function<EncodeFunction()>& new_encoder, TokenDatasetWriter* writer,
                                         std::stop_token stop) {
  RADLADS_CHECK(options.threads >= 1) << options.threads << " threads";
  RADLADS_RETURN_IF_ERROR(CheckFormats(options.paths, options.corpus.format));
  const auto start = std::chrono::steady_clock::now();
  Ledger ledger(options, writer);
  const Place place = ledger.place();
  auto seconds_so_far = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  std::unique_ptr<Progress> progress;
  if (options.show_progress) {
    progress = std::make_unique<Progress>("tokenising", TotalSize(options.paths), "B");
    progress->SkipTo(BytesBefore(options.paths, place));
  }

  const size_t inputs = options.paths.size();
  const size_t readers = std::min({inputs - place.input, kMostReaders, static_cast<size_t>(options.threads + 3) / 4});
  Pipeline pipeline(place.input, inputs, (8 + 4 * static_cast<uint64_t>(options.threads)) << 20);
  // Readers may be waiting for a pipe when the work ends, whether it is stopped or fails.
  std::stop_source abandon;
  const std::stop_callback abandon_too(stop, [&] { abandon.request_stop(); });
  std::vector<std::thread> threads;
  for (size_t i = 0; i < readers; ++i) {
    threads.emplace_back([&] { ReadInputs(options, place, abandon.get_token(), &pipeline); });
  }
  for (int i = 0; i < options.threads; ++i) {
    threads.emplace_back([&pipeline, worker = std::make_shared<Worker>(options, writer->type(), new_encoder())] {
      worker->Run(&pipeline);
    });
  }

  const bool has_points = writer->has_job();
  absl::StatusOr<bool> more = options.limit_tokens == 0 || writer->tokens() < options.limit_tokens;
  if (!*more) ledger.result().reached_limit = true;
  while (more.ok() && *more) {
    const std::unique_ptr<Piece> piece = pipeline.Pop();
    if (piece == nullptr) break;
    more = ledger.Write(*piece);
    const bool stopped = stop.stop_requested();
    if (stopped && absl::IsCancelled(more.status())) more = true;  // the reader has seen it first
    if (!more.ok() || !*more) break;
    if (has_points && (stopped || writer->PointIsDue())) {
      if (absl::Status status = ledger.Checkpoint(); !status.ok()) more = status;
    }
    if (stopped && more.ok()) {
      more = absl::CancelledError(Concatenate("stopped after ", writer->documents(), " documents"));
    }
    if (progress != nullptr && piece->block != nullptr) {
      const double seconds = seconds_so_far();
      progress->Advance(piece->block->input_bytes,
                        HumanCount(writer->tokens()) + " tokens, " + HumanCount(ledger.result().tokens / seconds) +
                            " tokens/s, " + HumanCount(ledger.result().text_bytes / seconds, "B") + "/s of text");
    }
  }
  pipeline.Stop();
  abandon.request_stop();
  for (std::thread& thread : threads) thread.join();
  RADLADS_RETURN_IF_ERROR(more.status());
  ledger.result().seconds = seconds_so_far();
  return std::move(ledger.result());
}

}  // namespace radlads
