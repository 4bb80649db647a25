#include "data/tokenizer/stream_decoder.h"

#include <utility>

#include "base/status.h"
#include "data/tokenizer/utf8.h"

namespace radlads {

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

absl::StatusOr<std::string> StreamDecoder::Push(int32_t id) {
  const auto bytes = tokenizer_->BytesOf(id);
  if (!bytes.has_value()) {
    return absl::OutOfRangeError(Concatenate("token id ", id,
                                             " has no token; the vocabulary has ids 0 to ",
                                             tokenizer_->vocab_size() - 1));
  }
  if (skip_special_tokens_ && tokenizer_->IsSpecial(id)) return std::string();
  pending_.append(*bytes);
  std::string text;
  pending_.erase(0, AppendUtf8Lossy(pending_, /*final=*/false, &text));
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text;
  AppendUtf8Lossy(pending_, /*final=*/true, &text);
  pending_.clear();
  return text;
}

}  // namespace radlads
