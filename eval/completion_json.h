// The JSON of /v1/completions, as OpenAI's API and lm_eval's local-completions and gguf clients speak it:
// docs/formats/completions.md.
#ifndef RADLADS_EVAL_COMPLETION_JSON_H_
#define RADLADS_EVAL_COMPLETION_JSON_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"
#include "serve/transport/json_fields.h"

namespace radlads {

// A request's body -> one request for each prompt. INVALID_ARGUMENT says which field is wrong, and what it can be: bad
// JSON or types, what is not supported, no prompt, an empty one, ids outside of the vocabulary, or a prompt longer than
// the context (naming both lengths). Fields that are not known are ignored. `memory` is that of ParseObject; in the end
// it is what the requests and their replies may need.
absl::StatusOr<std::vector<CompletionRequest>> ParseCompletionRequests(std::string_view body,
                                                                       const Tokenizer& tokenizer,
                                                                       const CompletionModel& model,
                                                                       MemoryBudget::Part* memory = nullptr);

// Every number is finite, and equal log probabilities are equal texts.
std::string CompletionReply(const ReplyHeader& header, const std::vector<CompletionRequest>& requests,
                            const std::vector<Completion>& completions, const Tokenizer& tokenizer);

// The bodies and replies of /tokenize and /detokenize, and the reply of /tokenizer_info.
absl::StatusOr<std::string> TokenizeReply(std::string_view body, const Tokenizer& tokenizer, int64_t max_length,
                                          MemoryBudget::Part* memory = nullptr);
absl::StatusOr<std::string> DetokenizeReply(std::string_view body, const Tokenizer& tokenizer,
                                            MemoryBudget::Part* memory = nullptr);
std::string TokenizerInfoReply(const Tokenizer& tokenizer, int64_t max_length);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_JSON_H_
