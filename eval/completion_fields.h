// The JSON that /v1/completions and /v1/chat/completions have in common. Every error is INVALID_ARGUMENT, names the
// field and says what it can be.
#ifndef RADLADS_EVAL_COMPLETION_FIELDS_H_
#define RADLADS_EVAL_COMPLETION_FIELDS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/memory_budget.h"
#include "eval/completion.h"
#include "serve/transport/json_fields.h"
#include "serve/transport/request_fields.h"

namespace radlads {

// How a text goes on, whatever the prompt.
struct CompletionFields {
  CompletionRequest request;          // without prompt, echo and logprobs
  std::optional<int64_t> max_tokens;  // if the client names it
  int64_t keep = 0;                   // truncate_prompt_tokens: 0 nothing is cut, -1 to what fits
};
// What CheckFields refuses on `path` is refused. `max_tokens` is the name of that field.
absl::StatusOr<CompletionFields> ParseCompletionFields(const RequestJson& json, RequestPath path,
                                                       const char* max_tokens, const CompletionModel& model);
// The request for one prompt, cut as asked for. `name` is the prompt's, in errors: it is empty, or longer than the
// context, naming both lengths.
absl::StatusOr<CompletionRequest> RequestFor(const CompletionFields& fields, std::vector<int64_t> prompt,
                                             const std::string& name, int64_t context);

// Makes `memory`, if there is one, what `requests` and their replies may need. Errors of MemoryBudget.
absl::Status TakeForReplies(std::span<const CompletionRequest> requests, MemoryBudget::Part* memory);

const char* FinishReasonName(const Completion& completion);
// The counts of tokens.
ReplyJson Usage(const std::vector<CompletionRequest>& requests, const std::vector<Completion>& completions);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_FIELDS_H_
