// What a stream has yet to write: the pieces and results of its texts, in turn. Private to the stream.
#ifndef RADLADS_SERVE_GRPC_OUTBOX_H_
#define RADLADS_SERVE_GRPC_OUTBOX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "serve/grpc/text_service.pb.h"
#include "serve/text_service.h"

namespace radlads {

// Not thread-safe.
class Outbox {
 public:
  // Pieces of one text that wait are one response, up to this size; its texts take turns.
  static constexpr size_t kMaxPiece = 64 << 10;

  void Add(uint64_t id, const TextPiece& piece, bool logprobs);
  // The last of the text.
  void Add(uint64_t id, serve::v1::Result result);
  std::optional<serve::v1::GenerateResponse> Next();
  void Clear();

  bool empty() const { return turns_.empty(); }
  size_t texts() const { return turns_.size(); }  // that have something waiting
  size_t bytes() const { return bytes_; }         // of pieces that wait, about

 private:
  struct Part {
    serve::v1::Piece piece;
    size_t bytes = 0;
  };
  struct Waiting {
    std::deque<Part> parts;
    std::optional<serve::v1::Result> result;
  };
  Waiting& Of(uint64_t id);

  std::map<uint64_t, Waiting> waiting_;
  std::deque<uint64_t> turns_;  // the keys of waiting_
  size_t bytes_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_OUTBOX_H_
