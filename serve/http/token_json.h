// Tokens and their log probabilities in replies, as OpenAI's API has them: docs/formats/completions.md.
#ifndef RADLADS_SERVE_HTTP_TOKEN_JSON_H_
#define RADLADS_SERVE_HTTP_TOKEN_JSON_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "data/tokenizer/stream_decoder.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/transport/json_fields.h"

namespace radlads {

using LikelyTokens = std::span<const std::pair<int64_t, float>>;  // ids and log probabilities, by falling probability

// What a token is called: its text; where that is not whole characters, its bytes; else its number.
std::string TokenName(const Tokenizer& tokenizer, int64_t id);

// {"token", "logprob", "bytes", "top_logprobs"} of a chat completion.
ReplyJson TokenEntry(int64_t id, float logprob, LikelyTokens top, const Tokenizer& tokenizer);

// The four arrays of a completion. One text, one thread.
class TokenArrays {
 public:
  explicit TokenArrays(std::shared_ptr<const Tokenizer> tokenizer);
  // No `logprob`: null in its place. Names in the object made of `top` are unique, and the token itself is among them.
  void Add(int64_t id, std::optional<float> logprob, LikelyTokens top);
  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of what was added since the last call; offsets count
  // on.
  ReplyJson Take();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  StreamDecoder decoder_;
  int64_t offset_ = 0;
  ReplyJson tokens_, logprobs_, top_, offsets_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TOKEN_JSON_H_
