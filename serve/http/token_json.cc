#include "serve/http/token_json.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

ReplyJson Described(int64_t id, float logprob, const Tokenizer& tokenizer) {
  ReplyJson bytes;
  if (const auto text = tokenizer.BytesOf(static_cast<int32_t>(id))) {
    bytes = ReplyJson::array();
    for (const unsigned char byte : *text) bytes.push_back(byte);
  }
  return {{"token", TokenName(tokenizer, id)}, {"logprob", logprob}, {"bytes", bytes}};
}

}  // namespace

std::string TokenName(const Tokenizer& tokenizer, int64_t id) {
  const auto bytes = tokenizer.BytesOf(static_cast<int32_t>(id));
  if (!bytes) return Concatenate("token_id:", id);
  const int32_t ids[] = {static_cast<int32_t>(id)};
  const auto text = tokenizer.Decode(ids, /*skip_special_tokens=*/false);
  if (text.ok() && *text == *bytes) return *text;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string name = "bytes:";
  for (const unsigned char byte : *bytes) name += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  return name;
}

ReplyJson TokenEntry(int64_t id, float logprob, LikelyTokens top, const Tokenizer& tokenizer) {
  ReplyJson entry = Described(id, logprob, tokenizer);
  ReplyJson& likely = entry["top_logprobs"] = ReplyJson::array();
  for (const auto& [other, value] : top) likely.push_back(Described(other, value, tokenizer));
  return entry;
}

TokenArrays::TokenArrays(std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), decoder_(tokenizer_, /*skip_special_tokens=*/false) {
  Take();
}

void TokenArrays::Add(int64_t id, std::optional<float> logprob, LikelyTokens top) {
  tokens_.push_back(TokenName(*tokenizer_, id));
  offsets_.push_back(offset_);
  if (tokenizer_->TokenOf(static_cast<int32_t>(id))) {
    offset_ += Characters(*decoder_.Push(static_cast<int32_t>(id)));
  }
  if (!logprob) {
    logprobs_.push_back(nullptr);
    top_.push_back(nullptr);
    return;
  }
  logprobs_.push_back(*logprob);
  ReplyJson names = ReplyJson::object();
  bool itself = false;
  const auto add = [&](int64_t other, float value) {
    const std::string name = TokenName(*tokenizer_, other);
    names[names.contains(name) ? Concatenate("token_id:", other) : name] = value;
    itself |= other == id;
  };
  for (const auto& [other, value] : top) add(other, value);
  if (!itself) add(id, *logprob);
  top_.push_back(std::move(names));
}

ReplyJson TokenArrays::Take() {
  ReplyJson arrays = {{"tokens", std::move(tokens_)},
                      {"token_logprobs", std::move(logprobs_)},
                      {"top_logprobs", std::move(top_)},
                      {"text_offset", std::move(offsets_)}};
  tokens_ = logprobs_ = top_ = offsets_ = ReplyJson::array();
  return arrays;
}

}  // namespace radlads
