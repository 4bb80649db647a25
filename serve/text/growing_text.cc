#include "eval/growing_text.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace radlads {

std::vector<int64_t> StopIds(const Tokenizer& tokenizer, const std::vector<std::string>& until) {
  std::vector<int64_t> ids(tokenizer.stop_ids().begin(), tokenizer.stop_ids().end());
  for (const std::string& end : until) {
    const std::optional<int32_t> id = tokenizer.IdOf(end);
    if (id && tokenizer.IsSpecial(*id)) ids.push_back(*id);
  }
  return ids;
}

GrowingText::GrowingText(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> until)
    : tokenizer_(std::move(tokenizer)), decoder_(tokenizer_, /*skip_special_tokens=*/true), until_(std::move(until)) {
  for (const std::string& end : until_) longest_ = std::max(longest_, end.size());
}

bool GrowingText::Append(int64_t id) {
  if (!tokenizer_->TokenOf(static_cast<int32_t>(id))) return true;
  return AppendText(*decoder_.Push(static_cast<int32_t>(id)));
}

void GrowingText::Finish() {
  const std::string rest = decoder_.Flush();
  if (!ended_) AppendText(rest);
}

bool GrowingText::AppendText(const std::string& piece) {
  const size_t from = text_.size() < longest_ ? 0 : text_.size() - longest_;
  text_ += piece;
  size_t first = std::string::npos;
  for (const std::string& end : until_) {
    if (!end.empty()) first = std::min(first, text_.find(end, from));
  }
  ended_ = first != std::string::npos;
  if (ended_) text_.resize(first);
  return !ended_;
}

}  // namespace radlads
