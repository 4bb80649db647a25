// The JSON that /v1/completions and /v1/chat/completions have in common. Every error is INVALID_ARGUMENT, names the
// field and says what it can be.
#ifndef RADLADS_EVAL_COMPLETION_FIELDS_H_
#define RADLADS_EVAL_COMPLETION_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"

namespace radlads {

using RequestJson = nlohmann::json;        // fields are found in logarithmic time, however many a body has
using ReplyJson = nlohmann::ordered_json;  // fields are written in the order in which they were put

absl::StatusOr<RequestJson> ParseObject(std::string_view body);
// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const ReplyJson& json);
// A value in an error message: short, whatever it is.
std::string Shown(const RequestJson& value);

// A field, or null where it is missing.
const RequestJson& Field(const RequestJson& json, const char* name);
// The value of a field, `otherwise` where it is missing or null.
absl::StatusOr<int64_t> Integer(const RequestJson& json, const char* name, int64_t otherwise, int64_t low,
                                int64_t high);
absl::StatusOr<bool> Boolean(const RequestJson& json, const char* name, bool otherwise);
// A string that must be there.
absl::StatusOr<std::string> String(const RequestJson& json, const char* name);
// A field that is not supported must be missing, null, or have the value that changes nothing.
absl::Status Unsupported(const RequestJson& json, const char* name, const RequestJson& harmless);

// How a text goes on, whatever the prompt.
struct CompletionFields {
  CompletionRequest request;          // without prompt, echo and logprobs
  std::optional<int64_t> max_tokens;  // if the client names it
  int64_t keep = 0;                   // truncate_prompt_tokens: 0 nothing is cut, -1 to what fits
};
// `max_tokens` is the name of that field. `context`: CompletionModel::max_length.
absl::StatusOr<CompletionFields> ParseCompletionFields(const RequestJson& json, const char* max_tokens,
                                                       int64_t context);
// The request for one prompt, cut as asked for. `name` is the prompt's, in errors: it is empty, or longer than the
// context, naming both lengths.
absl::StatusOr<CompletionRequest> RequestFor(const CompletionFields& fields, std::vector<int64_t> prompt,
                                             const std::string& name, int64_t context);

// What a token is called in a reply: its text; where that is not whole characters, its bytes; else its number.
std::string TokenName(const Tokenizer& tokenizer, int64_t id);
const char* FinishReasonName(const Completion& completion);
// The counts of tokens.
ReplyJson Usage(const std::vector<CompletionRequest>& requests, const std::vector<Completion>& completions);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_FIELDS_H_
