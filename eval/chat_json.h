// The JSON of /v1/chat/completions, as OpenAI's API and lm_eval's local-chat-completions client speak it:
// docs/formats/completions.md. Errors and the header of a reply are those of completion_json.h.
#ifndef RADLADS_EVAL_CHAT_JSON_H_
#define RADLADS_EVAL_CHAT_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"
#include "eval/completion_json.h"

namespace radlads {

// A request's body -> the completion of what the tokenizer's chat template makes of its messages. INVALID_ARGUMENT says
// which field is wrong, and what it can be; in the template's own words where it refuses the messages; what to do where
// there is no template, or one that data/tokenizer/jinja.h cannot render. `memory` as in completion_json.h.
absl::StatusOr<CompletionRequest> ParseChatRequest(std::string_view body, const Tokenizer& tokenizer,
                                                   const CompletionModel& model, MemoryBudget::Part* memory = nullptr);

std::string ChatReply(const ReplyHeader& header, const CompletionRequest& request, const Completion& completion,
                      const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_EVAL_CHAT_JSON_H_
