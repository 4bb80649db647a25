// Any bytes as the body of every path: requests that keep the promises of completion.h and replies that are JSON, or
// INVALID_ARGUMENT with a message.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "eval/chat_json.h"
#include "eval/completion_json.h"
#include "eval/testing.h"
#include "serve/http/http_error.h"

namespace radlads {
namespace {

// The one of Qwen2.5 in short: it looks at what the messages say.
constexpr char kTemplate[] =
    "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'].strip() + '\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|end|>' + message.role + message.content + '<|end|>' }}"
    "{%- elif message.role == 'assistant' %}"
    "{%- if '#' in message.content %}{{- message.content.split('#')[-1].lstrip('\n') }}{%- endif %}"
    "{%- else %}{{ raise_exception('no such role: ' ~ message.role) }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'a' }}{%- endif %}";

void CheckRefusal(const absl::Status& status) {
  RADLADS_CHECK(absl::IsInvalidArgument(status) && !status.message().empty()) << status;
  RADLADS_CHECK(nlohmann::json::accept(ErrorReply(status))) << status;
}

void CheckRequest(const CompletionRequest& request, const CompletionModel& model) {
  const int64_t size = request.prompt.size();
  RADLADS_CHECK(size > 0 && request.max_tokens >= 0);
  RADLADS_CHECK(size + request.max_tokens <= model.max_length() + 1) << size << " and " << request.max_tokens;
  for (const int64_t id : request.prompt) RADLADS_CHECK(id >= 0 && id < model.vocabulary()) << id;
  RADLADS_CHECK(!request.logprobs || (*request.logprobs >= 0 && *request.logprobs <= 100));
  RADLADS_CHECK(std::isfinite(request.sampling.temperature) && request.sampling.temperature >= 0);
  RADLADS_CHECK(request.sampling.Check(model.vocabulary()).ok());
}

// What a model could answer.
Completion Answer(const CompletionRequest& request) {
  const auto token = [&](int64_t id, bool first) {
    CompletionToken result{.id = id};
    if (request.logprobs && !first) {
      result.logprob = -1.5f;
      result.top = {{(id + 1) % 97, -0.5f}, {id, -1.5f}};
    }
    return result;
  };
  Completion completion{.text = "answer"};
  for (const int64_t id : request.prompt) {
    if (request.echo) completion.prompt.push_back(token(id, completion.prompt.empty()));
    completion.generated.push_back(token(id, false));
  }
  return completion;
}

void CheckBody(std::string_view body) {
  static const auto tokenizer = SmallTokenizer(kTemplate);
  static const NoModel model;
  if (const auto requests = ParseCompletionRequests(body, *tokenizer, model); requests.ok()) {
    RADLADS_CHECK(!requests->empty());
    std::vector<Completion> completions;
    for (const CompletionRequest& request : *requests) {
      CheckRequest(request, model);
      completions.push_back(Answer(request));
    }
    RADLADS_CHECK(nlohmann::json::accept(CompletionReply({}, *requests, completions, *tokenizer)));
  } else {
    CheckRefusal(requests.status());
  }
  if (const auto request = ParseChatRequest(body, *tokenizer, model); request.ok()) {
    CheckRequest(*request, model);
    RADLADS_CHECK(nlohmann::json::accept(ChatReply({}, *request, Answer(*request), *tokenizer)));
  } else {
    CheckRefusal(request.status());
  }
  for (const auto& reply : {TokenizeReply(body, *tokenizer, model.max_length()), DetokenizeReply(body, *tokenizer)}) {
    if (reply.ok()) {
      RADLADS_CHECK(nlohmann::json::accept(*reply)) << *reply;
    } else {
      CheckRefusal(reply.status());
    }
  }
}

}  // namespace
}  // namespace radlads

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  radlads::CheckBody({reinterpret_cast<const char*>(data), size});
  return 0;
}
