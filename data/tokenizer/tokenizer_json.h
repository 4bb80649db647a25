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

// What tokenizer_config.json, special_tokens_map.json and generation_config.json say.
struct TokenizerSettings {
  // Unset: the files do not speak of it. Set and empty: null in the file.
  std::optional<std::string> bos_token, eos_token, pad_token, unk_token;
  std::vector<int32_t> generation_eos_ids;
  std::optional<int32_t> generation_bos_id;
  std::optional<std::string> chat_template;
  struct Token {
    int32_t id;
    std::string content;
  };
  std::vector<Token> added_tokens;  // added_tokens_decoder
};

// Each adds what `text` says to *settings; a token that an earlier file named stays.
absl::Status ParseTokenizerConfig(std::string_view text, const std::string& name,
                                  TokenizerSettings* settings);
absl::Status ParseSpecialTokensMap(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings);
absl::Status ParseGenerationConfig(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TOKENIZER_JSON_H_
