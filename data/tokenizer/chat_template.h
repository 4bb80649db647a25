// From messages to the text that a chat model was trained on.
#ifndef RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_
#define RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Renders the tokenizer's chat template as transformers' apply_chat_template(tokenize=False) does,
// without tools or documents. Encode the result without add_special_tokens: the template writes the
// special tokens itself. add_generation_prompt ends the text where the assistant's answer begins.
// FAILED_PRECONDITION if the tokenizer has no template, UNIMPLEMENTED naming what of Jinja the
// template needs and data/tokenizer/jinja.h lacks, INVALID_ARGUMENT with the template's own words
// if it refuses the messages.
absl::StatusOr<std::string> ApplyChatTemplate(const Tokenizer& tokenizer,
                                              std::span<const ChatMessage> messages,
                                              bool add_generation_prompt);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_
