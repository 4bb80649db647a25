#include "serve/text/growing_text.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace radlads {

std::vector<int64_t> StopIds(const Tokenizer& tokenizer, const std::vector<std::string>& until,
                             std::vector<int64_t> more, bool ignore_eos) {
  std::vector<int64_t> ids = std::move(more);
  if (!ignore_eos) ids.insert(ids.end(), tokenizer.stop_ids().begin(), tokenizer.stop_ids().end());
  for (const std::string& end : until) {
    const std::optional<int32_t> id = tokenizer.IdOf(end);
    if (id && tokenizer.IsSpecial(*id)) ids.push_back(*id);
  }
  return ids;
}

GrowingText::GrowingText(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> until)
    : tokenizer_(std::move(tokenizer)), decoder_(tokenizer_, /*skip_special_tokens=*/true), until_(std::move(until)) {}

bool GrowingText::Append(int64_t id, bool watch) {
  if (!tokenizer_->TokenOf(static_cast<int32_t>(id))) return true;
  return AppendText(*decoder_.Push(static_cast<int32_t>(id)), watch);
}

void GrowingText::Finish() {
  const std::string rest = decoder_.Flush();
  if (!ended_) AppendText(rest, /*watch=*/true);
  finished_ = true;
}

std::string GrowingText::Take() {
  const size_t certain = ended_ || finished_ ? text_.size() : Certain();
  std::string piece = text_.substr(taken_, certain - taken_);
  taken_ = certain;
  return piece;
}

// Bytes of text_ before the longest end of it that one of until_ begins with.
size_t GrowingText::Certain() const {
  const std::string_view rest = std::string_view(text_).substr(taken_);
  size_t held = 0;
  for (const std::string& end : until_) {
    if (end.empty()) continue;
    for (size_t size = std::min(end.size() - 1, rest.size()); size > held; --size) {
      if (rest.ends_with(std::string_view(end).substr(0, size))) held = size;
    }
  }
  // A stop string of ill-formed UTF-8 may begin in the middle of a character.
  size_t certain = text_.size() - held;
  while (certain > taken_ && certain < text_.size() && (text_[certain] & 0xC0) == 0x80) --certain;
  return certain;
}

bool GrowingText::AppendText(const std::string& piece, bool watch) {
  const size_t before = text_.size();
  text_ += piece;
  if (!watch) return true;
  size_t first = std::string::npos;
  for (const std::string& end : until_) {
    // One that ends in the piece.
    if (!end.empty()) first = std::min(first, text_.find(end, before < end.size() ? 0 : before - end.size() + 1));
  }
  ended_ = first != std::string::npos;
  if (ended_) text_.resize(first);
  return !ended_;
}

}  // namespace radlads
