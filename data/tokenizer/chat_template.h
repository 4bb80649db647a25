// From messages to the text that a chat model was trained on.
#ifndef RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_
#define RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_value.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
  // What templates may read besides; a message without it has no such key.
  std::string name = {}, reasoning_content = {};
};

// Renders the tokenizer's chat template as transformers' apply_chat_template(tokenize=False) does,
// without tools or documents. Encode the result without add_special_tokens: the template writes the
// special tokens itself. add_generation_prompt ends the text where the assistant's answer begins.
// The template sees `variables` too, also in the place of special tokens (bos_token ...).
// FAILED_PRECONDITION if the tokenizer has no template, UNIMPLEMENTED naming what of Jinja the
// template needs and data/tokenizer/jinja.h lacks, INVALID_ARGUMENT with the template's own words
// if it refuses the messages.
absl::StatusOr<std::string> ApplyChatTemplate(const Tokenizer& tokenizer,
                                              std::span<const ChatMessage> messages,
                                              bool add_generation_prompt,
                                              const JinjaValue::Dict& variables = {});

// Whether the chat template looks at a variable of this name; false without a template.
bool ChatTemplateReads(const Tokenizer& tokenizer, std::string_view name);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_CHAT_TEMPLATE_H_
