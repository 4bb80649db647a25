#include "eval/chat_json.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "eval/completion_fields.h"
#include "serve/http/chat_messages.h"
#include "serve/http/token_json.h"
#include "serve/transport/chat_text.h"

namespace radlads {
namespace {

constexpr int64_t kMaxTopLogprobs = 100;

ReplyJson Logprobs(const Completion& completion, int64_t top, const Tokenizer& tokenizer) {
  ReplyJson content = ReplyJson::array();
  for (const CompletionToken& token : completion.generated) {
    const size_t count = std::min<size_t>(top, token.top.size());
    content.push_back(TokenEntry(token.id, *token.logprob, std::span(token.top).first(count), tokenizer));
  }
  return {{"content", content}, {"refusal", nullptr}};
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseChatRequest(std::string_view body, const Tokenizer& tokenizer,
                                                   const CompletionModel& model, MemoryBudget::Part* memory) {
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body, memory));
  const bool is_new = !Field(json, "max_completion_tokens").is_null();
  if (is_new && !Field(json, "max_tokens").is_null()) {
    return InvalidArgument("max_tokens and max_completion_tokens are two names of one thing; give one of them");
  }
  RADLADS_ASSIGN_OR_RETURN(
      CompletionFields fields,
      ParseCompletionFields(json, RequestPath::kEvalChat, is_new ? "max_completion_tokens" : "max_tokens", model));
  RADLADS_ASSIGN_OR_RETURN(const bool logprobs, Boolean(json, "logprobs", false));
  RADLADS_ASSIGN_OR_RETURN(const int64_t top, Integer(json, "top_logprobs", 0, 0, kMaxTopLogprobs));
  if (logprobs) fields.request.logprobs = top;
  if (top > 0 && !logprobs) return InvalidArgument("top_logprobs needs logprobs to be true");
  RADLADS_ASSIGN_OR_RETURN(const std::vector<ChatMessage> messages, Messages(json, RequestPath::kEvalChat));
  RADLADS_ASSIGN_OR_RETURN(const ChatOptions options, ChatOptionsOf(json, messages));
  RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> prompt, RenderChat(messages, tokenizer, options));
  RADLADS_ASSIGN_OR_RETURN(CompletionRequest request,
                           RequestFor(fields, std::move(prompt), "the text of messages", model.max_length()));
  RADLADS_RETURN_IF_ERROR(TakeForReplies({&request, 1}, memory));
  return request;
}

std::string ChatReply(const ReplyHeader& header, const CompletionRequest& request, const Completion& completion,
                      const Tokenizer& tokenizer) {
  const ReplyJson choice = {
      {"index", 0},
      {"message", {{"role", "assistant"}, {"content", completion.text}}},
      {"logprobs", request.logprobs ? Logprobs(completion, *request.logprobs, tokenizer) : ReplyJson()},
      {"finish_reason", FinishReasonName(completion)}};
  return Dump({{"id", header.id},
               {"object", "chat.completion"},
               {"created", header.created},
               {"model", header.model},
               {"choices", ReplyJson::array({choice})},
               {"usage", Usage({request}, {completion})}});
}

}  // namespace radlads
