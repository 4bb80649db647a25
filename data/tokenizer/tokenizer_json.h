// Reader of Hugging Face tokenizer.json and of the small files beside it.
//
// Format: https://github.com/huggingface/tokenizers (0.23), byte-level BPE only. What the reader
// does not know it refuses by name; nothing is ignored but `truncation` and `padding`, which belong
// to a call and not to a vocabulary (transformers resets them too).
#ifndef RADLADS_DATA_TOKENIZER_TOKENIZER_JSON_H_
#define RADLADS_DATA_TOKENIZER_TOKENIZER_JSON_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace radlads {

struct TokenizerSpec {
  bool nfc = false;
  std::vector<PreTokenizerStep> pre_tokenizer;
  // By id, as the file spells them (model tokens in the byte-level alphabet); nothing where an id
  // has no token.
  std::vector<std::optional<std::string>> tokens;
  std::vector<bool> in_model;    // by id: a token of the model's vocab, not an added one only
  std::vector<BpeMerge> merges;  // in order of rank
  bool ignore_merges = false;
  std::vector<AddedToken> added;
  // Ids that add_special_tokens puts before and behind.
  std::vector<int32_t> prefix, suffix;
};

// `name` stands for the text in messages (a path).
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text, const std::string& name);

// A chat template that a model came with, by name; the one that is meant unless another is asked for is "default".
inline constexpr char kDefaultChatTemplate[] = "default";
struct ChatTemplateSource {
  std::string name, source;
};

// What the files beside tokenizer.json say.
struct TokenizerSettings {
  // Unset: the files do not speak of it. Set and empty: null in the file.
  std::optional<std::string> bos_token, eos_token, pad_token, unk_token;
  std::vector<int32_t> generation_eos_ids;  // of generation_config.json
  std::vector<int32_t> model_eos_ids;       // of the model's config.json
  std::optional<int32_t> generation_bos_id;
  std::vector<ChatTemplateSource> chat_templates;
  // Nothing here follows these: what is put around a text is the post-processor's to say, as in transformers 5.
  std::string tokenizer_class;
  std::optional<bool> add_bos_token, add_eos_token;
  struct Token {
    int32_t id;
    std::string content;
  };
  std::vector<Token> added_tokens;  // added_tokens_decoder
};

// Each adds what `text` says to *settings; a token, or the chat templates, that an earlier file named stay.
absl::Status ParseTokenizerConfig(std::string_view text, const std::string& name,
                                  TokenizerSettings* settings);
absl::Status ParseSpecialTokensMap(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings);
absl::Status ParseGenerationConfig(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings);
// The config.json of a model: its end tokens.
absl::Status ParseModelConfig(std::string_view text, const std::string& name, TokenizerSettings* settings);
// chat_template.json, which older processors have.
absl::Status ParseChatTemplateJson(std::string_view text, const std::string& name, TokenizerSettings* settings);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TOKENIZER_JSON_H_
