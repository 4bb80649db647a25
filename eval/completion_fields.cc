#include "eval/completion_fields.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/transport/sampling_fields.h"

namespace radlads {
namespace {

// Of OpenAI's API are the names and the temperature; a client that names no length gets a whole paragraph and not
// OpenAI's 16 tokens, because lm_eval's gguf client never names one.
constexpr int64_t kDefaultMaxTokens = 256;

}  // namespace

absl::StatusOr<CompletionFields> ParseCompletionFields(const RequestJson& json, RequestPath path,
                                                       const char* max_tokens, const CompletionModel& model) {
  RADLADS_RETURN_IF_ERROR(CheckFields(json, path));
  CompletionFields fields;
  CompletionRequest& request = fields.request;
  RADLADS_ASSIGN_OR_RETURN(request.max_tokens, Integer(json, max_tokens, kDefaultMaxTokens, 0, model.max_length()));
  if (!Field(json, max_tokens).is_null()) fields.max_tokens = request.max_tokens;
  RADLADS_ASSIGN_OR_RETURN(StopFields stops, ParseStops(json, model.vocabulary(), request.max_tokens));
  request.stop = std::move(stops.texts);
  request.stop_ids = std::move(stops.ids);
  request.ignore_eos = stops.ignore_eos;
  request.min_tokens = stops.min_tokens;
  RADLADS_ASSIGN_OR_RETURN(request.sampling, SamplingFields(json, model.vocabulary()));
  RADLADS_ASSIGN_OR_RETURN(fields.keep, Integer(json, "truncate_prompt_tokens", 0, -1, INT64_MAX));
  return fields;
}

absl::StatusOr<CompletionRequest> RequestFor(const CompletionFields& fields, std::vector<int64_t> prompt,
                                             const std::string& name, int64_t context) {
  if (prompt.empty()) return InvalidArgument(name, " has no token; give at least the begin-of-text token");
  // The last token that is generated is not read.
  const int64_t room = context + 1 - std::max<int64_t>(fields.max_tokens.value_or(1), 1);
  const int64_t limit = fields.keep < 0 ? room : fields.keep;
  if (fields.keep != 0 && static_cast<int64_t>(prompt.size()) > limit) {
    prompt.erase(prompt.begin(), prompt.end() - limit);
  }
  const int64_t size = prompt.size();
  if (size > room) {
    return WithErrorCode(
        InvalidArgument(name, " has ", size, " tokens and max_tokens is ", fields.request.max_tokens,
                        ", the context of the model is ", context,
                        " tokens; shorten it, or set truncate_prompt_tokens to -1 to lose its beginning"),
        kContextLengthExceeded);
  }
  CompletionRequest request = fields.request;
  request.prompt = std::move(prompt);
  if (!fields.max_tokens) request.max_tokens = std::min(request.max_tokens, context + 1 - size);
  return request;
}

absl::Status TakeForReplies(std::span<const CompletionRequest> requests, MemoryBudget::Part* memory) {
  if (memory == nullptr) return absl::OkStatus();
  // Of a token of a reply, and of each of the likeliest at its place: as numbers, as JSON and as its text.
  constexpr int64_t kToken = 256, kLikely = 256;
  int64_t bytes = 0;
  for (const CompletionRequest& request : requests) {
    const auto prompt = static_cast<int64_t>(request.prompt.size());
    const int64_t shown = request.max_tokens + (request.echo ? prompt : 0);
    bytes += 2 * prompt * static_cast<int64_t>(sizeof(request.prompt[0]));
    bytes += shown * (request.logprobs ? kToken + (1 + *request.logprobs) * kLikely : kToken);
    for (const std::string& stop : request.stop) bytes += 2 * static_cast<int64_t>(sizeof(stop) + stop.size());
  }
  memory->ShrinkTo(0);
  return memory->Take(bytes);
}

const char* FinishReasonName(const Completion& completion) {
  return completion.stopped ? "stop" : "length";
}

ReplyJson Usage(const std::vector<CompletionRequest>& requests, const std::vector<Completion>& completions) {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  for (const CompletionRequest& request : requests) prompt_tokens += request.prompt.size();
  for (const Completion& completion : completions) completion_tokens += completion.generated.size();
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

}  // namespace radlads
