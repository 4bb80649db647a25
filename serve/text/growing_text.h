// Text that grows by tokens until one of several strings is in it.
#ifndef RADLADS_SERVE_TEXT_GROWING_TEXT_H_
#define RADLADS_SERVE_TEXT_GROWING_TEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer/stream_decoder.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// Tokens that end a text: `more`, those of the tokenizer unless `ignore_eos`, and the special tokens among `until`,
// which have no text to be found.
std::vector<int64_t> StopIds(const Tokenizer& tokenizer, const std::vector<std::string>& until,
                             std::vector<int64_t> more = {}, bool ignore_eos = false);

// Not thread-safe.
class GrowingText {
 public:
  // Empty strings of `until` are ignored. Special tokens have no text.
  GrowingText(std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::string> until);

  // Whether the text goes on after `id`. An id that has no token (an embedding may have more rows than the vocabulary
  // has tokens) adds nothing. Without `watch`, none of `until` that ends with this token ends the text.
  bool Append(int64_t id, bool watch = true);
  // No more tokens: an incomplete character becomes U+FFFD.
  void Finish();

  // Up to the first of `until`.
  const std::string& text() const { return text_; }
  // By one of `until`.
  bool ended() const { return ended_; }
  // What became certain of the text since the last call, in whole characters: what may be the beginning of one of
  // `until` is held back until it is known, or until Finish.
  std::string Take();

 private:
  bool AppendText(const std::string& piece, bool watch);
  size_t Certain() const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  StreamDecoder decoder_;
  std::vector<std::string> until_;
  std::string text_;
  size_t taken_ = 0;  // bytes of text_
  bool ended_ = false, finished_ = false;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TEXT_GROWING_TEXT_H_
