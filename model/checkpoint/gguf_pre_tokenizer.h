// What the reader and the writer of tokenizers in GGUF agree on; above all what the names in tokenizer.ggml.pre stand for.
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "data/tokenizer/tokenizer_json.h"

namespace radlads::gguf {

// tokenizer.ggml.token_type.
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Tokens that end a text: the first is the EOS, llama.cpp stops at all three. More than three are in a list of all, which
// Ollama reads too.
inline constexpr const char* kEndTokens[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                             "tokenizer.ggml.eom_token_id"};
inline constexpr char kAllEndTokens[] = "tokenizer.ggml.eos_token_ids";

inline constexpr char kAddBos[] = "tokenizer.ggml.add_bos_token";
inline constexpr char kAddEos[] = "tokenizer.ggml.add_eos_token";

// The default template; names of the others; another one: its name follows.
inline constexpr char kChatTemplate[] = "tokenizer.chat_template";
inline constexpr char kChatTemplates[] = "tokenizer.chat_templates";
inline constexpr char kNamedChatTemplate[] = "tokenizer.chat_template.";

struct PreTokenizer {
  // As tokenizer.json has them.
  nlohmann::ordered_json normalizer, pre_tokenizer;
  // The same, as TokenizerSpec has it.
  bool nfc = false;
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool special_tokens_in_vocab = true;  // as the published tokenizer.json of the family has them
  bool add_bos = false;                 // unless the file says
};

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name);

// What FindPreTokenizer finds, for messages.
std::string KnownPreTokenizers();

// Under which name llama.cpp splits and merges as `spec` says; nothing if there is none among those that we know.
std::optional<std::string_view> PreTokenizerName(const TokenizerSpec& spec);

nlohmann::ordered_json ByteLevelDecoder();

}  // namespace radlads::gguf

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_PRE_TOKENIZER_H_
