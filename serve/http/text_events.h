// What a text says, from the service's thread to the thread that writes to its client.
#ifndef RADLADS_SERVE_HTTP_TEXT_EVENTS_H_
#define RADLADS_SERVE_HTTP_TEXT_EVENTS_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "serve/text_service.h"

namespace radlads {

// Thread-safe.
class TextEvents {
 public:
  // More than this waits for a client that reads too slowly: the text ends.
  static constexpr size_t kMaxWaiting = 16 << 20;  // bytes

  // Keep `events` for as long as they may be called.
  static TextCallbacks Callbacks(std::shared_ptr<TextEvents> events);

  // All that came since the last call as one piece, after `limit` at the latest.
  TextPiece Next(std::chrono::milliseconds limit);
  // Once the text has ended and Next has given all of it.
  std::optional<TextResult> result() const;
  // The text was ended because its client reads too slowly.
  bool overflowed() const;

 private:
  bool Add(TextPiece piece);
  void End(TextResult result);

  mutable std::mutex mutex_;
  std::condition_variable came_;
  TextPiece waiting_;
  size_t bytes_ = 0;  // of waiting_
  bool overflowed_ = false;
  std::optional<TextResult> result_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TEXT_EVENTS_H_
