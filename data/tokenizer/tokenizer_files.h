// The files of a Hugging Face directory that say how a text becomes ids and when it ends, as they are copied with a model.
#ifndef RADLADS_DATA_TOKENIZER_TOKENIZER_FILES_H_
#define RADLADS_DATA_TOKENIZER_TOKENIZER_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer_json.h"

namespace radlads {

// Name within the directory ("additional_chat_templates/tool_use.jinja" too), contents.
using TokenizerFiles = std::vector<std::pair<std::string, std::string>>;

// Those that `directory` has of tokenizer.json, tokenizer_config.json, special_tokens_map.json, generation_config.json,
// added_tokens.json, vocab.json, merges.txt, chat_template.jinja, chat_template.json, additional_chat_templates/*.jinja.
absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory);

// The same for a copy of the model. Where its config.json lists several end tokens, of which the config.json of the copy
// names the first, generation_config.json comes with all of them.
absl::StatusOr<TokenizerFiles> TokenizerFilesToCopy(const std::string& directory);

// Into the existing `directory`.
absl::Status WriteTokenizerFiles(const TokenizerFiles& files, const std::string& directory);

// The contents of a file; nullptr if it is not among `files`.
const std::string* FindTokenizerFile(const TokenizerFiles& files, std::string_view name);

// What all of them but tokenizer.json say, the most specific first: a token or template that one names is not taken from
// the next. `directory` stands before their names in messages; it may be empty.
absl::StatusOr<TokenizerSettings> ParseTokenizerSettings(const TokenizerFiles& files, const std::string& directory);

// What generation_config.json and config.json of the model in `directory` say ends a text; nothing else.
absl::StatusOr<TokenizerSettings> EndsOfModel(const std::string& directory);

// Makes generation_config.json say that `ids` end a text too, behind those that it names already.
absl::Status AddEndTokenIds(const std::vector<int32_t>& ids, TokenizerFiles* files);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TOKENIZER_FILES_H_
