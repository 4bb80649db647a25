// Texts that prompts are known to begin with, so that their states can be there before the first request: --warm.
#ifndef RADLADS_SERVE_WARM_TEXT_H_
#define RADLADS_SERVE_WARM_TEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

struct WarmText {
  std::string model;  // empty: of every model
  std::string path, text;
};

// Of "FILE" or "NAME=FILE", NAME being one of `models`. A line feed at the end of a file is not part of its text.
// NOT_FOUND for a file or a model that there is not.
absl::StatusOr<std::vector<WarmText>> ReadWarmTexts(std::span<const std::string> arguments,
                                                    std::span<const std::string> models);

// The tokens that prompts which begin with `text` begin with: as the system message of a chat where the tokenizer has a
// chat template, else as plain text. The last tokens are left out as far as they depend on what comes next.
// INVALID_ARGUMENT where nothing is left, and for a template that writes no system message.
absl::StatusOr<std::vector<int64_t>> PromptPrefix(std::string_view text, const Tokenizer& tokenizer);

// Those of all texts for `model`. Errors name the file.
absl::StatusOr<std::vector<std::vector<int64_t>>> PromptPrefixes(std::span<const WarmText> texts,
                                                                 const std::string& model, const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_SERVE_WARM_TEXT_H_
