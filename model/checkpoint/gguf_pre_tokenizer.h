// What the names in tokenizer.ggml.pre stand for: normalizer and pre-tokenizer as tokenizer.json has them.
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace radlads::gguf {

inline constexpr const char* kPreTokenizers[] = {"smollm", "gpt-2", "qwen2", "llama-bpe"};

// tokenizer.ggml.token_type.
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct PreTokenizer {
  nlohmann::ordered_json normalizer, pre_tokenizer;
  bool ignore_merges = false;
  bool special_tokens_in_vocab = true;  // as the published tokenizer.json of the family has them
  bool add_bos = false;                 // unless the file says
};

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name);

nlohmann::ordered_json ByteLevelDecoder();

}  // namespace radlads::gguf

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_
