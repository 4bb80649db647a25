#include "serve/http/text_events.h"

#include <iterator>
#include <utility>

namespace radlads {

TextCallbacks TextEvents::Callbacks(std::shared_ptr<TextEvents> events) {
  return {.on_piece = [events](TextPiece piece) { return events->Add(std::move(piece)); },
          .on_done = [events](TextResult result) { events->End(std::move(result)); }};
}

TextPiece TextEvents::Next(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  came_.wait_for(lock, limit, [this] { return bytes_ > 0 || result_; });
  bytes_ = 0;
  return std::exchange(waiting_, {});
}

std::optional<TextResult> TextEvents::result() const {
  const std::lock_guard lock(mutex_);
  return bytes_ > 0 ? std::nullopt : result_;
}

bool TextEvents::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

bool TextEvents::Add(TextPiece piece) {
  {
    const std::lock_guard lock(mutex_);
    bytes_ += sizeof(piece) + piece.text.size();
    for (const TextToken& token : piece.tokens) bytes_ += sizeof(token) + token.top.size() * sizeof(token.top[0]);
    overflowed_ = overflowed_ || bytes_ > kMaxWaiting;
    if (overflowed_) return false;
    waiting_.text += piece.text;
    std::move(piece.tokens.begin(), piece.tokens.end(), std::back_inserter(waiting_.tokens));
  }
  came_.notify_one();
  return true;
}

void TextEvents::End(TextResult result) {
  {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
  }
  came_.notify_one();
}

}  // namespace radlads
