#include "eval/completion_json.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/stream_decoder.h"
#include "eval/completion_fields.h"
#include "serve/http/token_json.h"

namespace radlads {
namespace {

constexpr int64_t kMaxLogprobs = 100;
constexpr size_t kMaxPrompts = 4096;  // each becomes a request with a copy of what they share

// A string, a list of ids, or a list of either.
absl::StatusOr<std::vector<std::vector<int64_t>>> Prompts(const RequestJson& json, const Tokenizer& tokenizer,
                                                          int64_t vocabulary) {
  const RequestJson& value = Field(json, "prompt");
  const auto from_text = [&](const std::string& text) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    return std::vector<int64_t>(ids.begin(), ids.end());
  };
  if (value.is_string()) return std::vector<std::vector<int64_t>>{from_text(value.get<std::string>())};
  if (!value.is_array()) {
    return InvalidArgument("prompt must be a string, a list of token ids, or a list of either, found ", Shown(value));
  }
  if (value.empty()) return InvalidArgument("prompt is an empty list; give at least one prompt");
  if (value[0].is_number()) {
    RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> ids, TokenIds(value, "prompt", vocabulary));
    return std::vector<std::vector<int64_t>>{std::move(ids)};
  }
  if (value.size() > kMaxPrompts) {
    return InvalidArgument("prompt has ", value.size(), " prompts, a request takes at most ", kMaxPrompts);
  }
  std::vector<std::vector<int64_t>> prompts;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i].is_string()) {
      prompts.push_back(from_text(value[i].get<std::string>()));
    } else if (value[i].is_array()) {
      RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> ids, TokenIds(value[i], "prompt", vocabulary));
      prompts.push_back(std::move(ids));
    } else {
      return InvalidArgument("prompt[", i, "] must be a string or a list of token ids, found ", Shown(value[i]));
    }
  }
  return prompts;
}

ReplyJson Logprobs(const Completion& completion, const Tokenizer& tokenizer) {
  TokenArrays arrays(tokenizer.shared_from_this());
  for (const auto* part : {&completion.prompt, &completion.generated}) {
    for (const CompletionToken& token : *part) arrays.Add(token.id, token.logprob, token.top);
  }
  return arrays.Take();
}

ReplyJson OptionalToken(const Tokenizer& tokenizer, const std::optional<int32_t>& id) {
  return id ? ReplyJson(std::string(tokenizer.TokenOf(*id).value_or(""))) : ReplyJson();
}

}  // namespace

absl::StatusOr<std::vector<CompletionRequest>> ParseCompletionRequests(std::string_view body,
                                                                       const Tokenizer& tokenizer,
                                                                       const CompletionModel& model,
                                                                       MemoryBudget::Part* memory) {
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body, memory));
  const int64_t context = model.max_length();
  RADLADS_ASSIGN_OR_RETURN(CompletionFields fields,
                           ParseCompletionFields(json, RequestPath::kEvalCompletions, "max_tokens", model));
  RADLADS_ASSIGN_OR_RETURN(fields.request.echo, Boolean(json, "echo", false));
  if (const RequestJson& logprobs = Field(json, "logprobs"); !logprobs.is_null() && logprobs != false) {
    RADLADS_ASSIGN_OR_RETURN(fields.request.logprobs, Integer(json, "logprobs", 0, 0, kMaxLogprobs));
  }
  RADLADS_ASSIGN_OR_RETURN(auto prompts, Prompts(json, tokenizer, model.vocabulary()));
  std::vector<CompletionRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    RADLADS_ASSIGN_OR_RETURN(CompletionRequest request,
                             RequestFor(fields, std::move(prompts[i]), Concatenate("prompt ", i), context));
    requests.push_back(std::move(request));
  }
  RADLADS_RETURN_IF_ERROR(TakeForReplies(requests, memory));
  return requests;
}

std::string CompletionReply(const ReplyHeader& header, const std::vector<CompletionRequest>& requests,
                            const std::vector<Completion>& completions, const Tokenizer& tokenizer) {
  ReplyJson choices = ReplyJson::array();
  for (size_t i = 0; i < requests.size(); ++i) {
    const Completion& completion = completions[i];
    std::string text;
    if (requests[i].echo) {
      const std::vector<int32_t> ids(requests[i].prompt.begin(), requests[i].prompt.end());
      StreamDecoder decoder(tokenizer.shared_from_this(), /*skip_special_tokens=*/false);
      for (int32_t id : ids) {
        if (tokenizer.TokenOf(id)) text += *decoder.Push(id);
      }
      text += decoder.Flush();
    }
    choices.push_back({{"text", text + completion.text},
                       {"index", i},
                       {"logprobs", requests[i].logprobs ? Logprobs(completion, tokenizer) : ReplyJson()},
                       {"finish_reason", FinishReasonName(completion)}});
  }
  return Dump({{"id", header.id},
               {"object", "text_completion"},
               {"created", header.created},
               {"model", header.model},
               {"choices", choices},
               {"usage", Usage(requests, completions)}});
}

absl::StatusOr<std::string> TokenizeReply(std::string_view body, const Tokenizer& tokenizer, int64_t max_length,
                                          MemoryBudget::Part* memory) {
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body, memory));
  RADLADS_ASSIGN_OR_RETURN(const std::string prompt, String(json, "prompt"));
  RADLADS_ASSIGN_OR_RETURN(const bool special, Boolean(json, "add_special_tokens", true));
  const std::vector<int32_t> ids = tokenizer.Encode(prompt, special);
  return Dump({{"tokens", ids}, {"count", ids.size()}, {"max_model_len", max_length}});
}

absl::StatusOr<std::string> DetokenizeReply(std::string_view body, const Tokenizer& tokenizer,
                                            MemoryBudget::Part* memory) {
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body, memory));
  const RequestJson& tokens = Field(json, "tokens");
  if (!tokens.is_array()) return InvalidArgument("tokens must be a list of token ids, found ", Shown(tokens));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, TokenIds(tokens, "tokens", tokenizer.vocab_size()));
  auto text = tokenizer.Decode(std::vector<int32_t>(ids.begin(), ids.end()), /*skip_special_tokens=*/false);
  if (!text.ok()) return InvalidArgument(std::string(text.status().message()));
  return Dump({{"prompt", *text}});
}

std::string TokenizerInfoReply(const Tokenizer& tokenizer, int64_t max_length) {
  return Dump({{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"bos_token", OptionalToken(tokenizer, tokenizer.bos_id())},
               {"eos_token", OptionalToken(tokenizer, tokenizer.eos_id())},
               {"pad_token", OptionalToken(tokenizer, tokenizer.pad_id())},
               {"unk_token", OptionalToken(tokenizer, tokenizer.unk_id())},
               {"chat_template", tokenizer.chat_template() ? ReplyJson(*tokenizer.chat_template()) : ReplyJson()},
               {"max_model_len", max_length}});
}

}  // namespace radlads
