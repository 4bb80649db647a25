// Any bytes as what a connection brings, and as the body of every path: a request ends in the same place however its
// bytes come, texts keep the promises of text_service.h, replies are JSON, and refusals say why.
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "serve/http/decompress.h"
#include "serve/http/http_error.h"
#include "serve/http/request_frame.h"
#include "serve/http/session_calls.h"
#include "serve/http/text_call.h"
#include "serve/http/text_reply.h"
#include "serve/testing/fake_text_service.h"
#include "serve/transport/chat_turns.h"

namespace radlads {
namespace {

constexpr size_t kMaxBody = 100;

void CheckFrame(std::string_view bytes) {
  RequestFrame whole(kMaxBody), halves(kMaxBody);
  RequestFrame::State state = whole.Scan(bytes);
  const std::string_view half = bytes.substr(0, bytes.size() / 2);
  RequestFrame::State early = halves.Scan(half);
  if (early == RequestFrame::State::kIncomplete) early = halves.Scan(bytes);
  RADLADS_CHECK(early == state) << static_cast<int>(early) << " and " << static_cast<int>(state);
  if (state == RequestFrame::State::kWhole) {
    RADLADS_CHECK(whole.size() == halves.size() && whole.size() <= bytes.size()) << whole.size();
  }
  if (state == RequestFrame::State::kBad) RADLADS_CHECK(whole.error_status() >= 400) << whole.error();
}

void CheckRefusal(const absl::Status& status) {
  RADLADS_CHECK(HttpStatus(status) < 500 && !status.message().empty()) << status;
  RADLADS_CHECK(nlohmann::json::accept(ErrorReply(status))) << status;
}

void CheckReply(const absl::StatusOr<std::string>& reply) {
  if (!reply.ok()) return CheckRefusal(reply.status());
  RADLADS_CHECK(nlohmann::json::accept(*reply)) << *reply;
}

void CheckEvents(std::string_view events) {
  while (!events.empty()) {
    const size_t end = events.find("\n\n");
    RADLADS_CHECK(end != std::string_view::npos && events.starts_with("data: ")) << events;
    const std::string_view data = events.substr(6, end - 6);
    RADLADS_CHECK(data == "[DONE]" || nlohmann::json::accept(data)) << data;
    events.remove_prefix(end + 2);
  }
}

void CheckCall(const absl::StatusOr<TextCall>& call, const ServedModel& model) {
  if (!call.ok()) return CheckRefusal(call.status());
  const TextRequest& text = call->text;
  RADLADS_CHECK(text.session.empty() || text.snapshot.empty());
  RADLADS_CHECK(!text.prompt.empty() || !text.session.empty() || !text.snapshot.empty());
  for (const int64_t id : text.prompt) RADLADS_CHECK(id >= 0 && id < 97) << id;
  RADLADS_CHECK(text.reply_end >= 0 && text.reply_end <= static_cast<int64_t>(text.prompt.size()));
  RADLADS_CHECK(text.max_tokens >= 0);
  RADLADS_CHECK(text.sampling.Check(97).ok());
  RADLADS_CHECK(!text.logprobs || (*text.logprobs >= 0 && *text.logprobs <= 20));
  const TextPiece piece = {.text = "answer", .tokens = {{.id = 5, .logprob = -1, .top = {{96, -0.5f}, {5, -1}}}}};
  TextReply streamed(*call, {}, model.tokenizer), whole(*call, {}, model.tokenizer);
  CheckEvents(streamed.Begin() + streamed.Piece(piece) + streamed.End({}));
  whole.Add(piece);
  CheckReply(whole.Whole({}));
}

void CheckBody(std::string_view body) {
  static const auto tokenizer = SmallTokenizer(
      "{%- for message in messages %}{{- message.role + message.content.strip() + '<|end|>' }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{- 'a' }}{%- endif %}");
  FakeTextService service(tokenizer, {.reply = {1}});
  const ServedModel model = {.name = "fake", .service = &service, .tokenizer = tokenizer};
  RADLADS_CHECK(service.ImportSession("[5,6,0]", "s").ok());
  const auto json = ParseObject(body);
  if (!json.ok()) return CheckRefusal(json.status());
  CheckCall(ParseChatCall(*json, model, 10), model);
  CheckCall(ParseCompletionCall(*json, model, 10), model);
  CheckReply(ForkSessionCall(model, "s", *json));
  CheckReply(RewindSessionCall(model, "s", *json));
  CheckReply(CreateSessionCall(model, *json));
}

void CheckDecompressed(std::string_view bytes) {
  constexpr size_t kLimit = 1000;
  const auto content = Decompress(bytes, kLimit);
  if (!content.ok()) return CheckRefusal(content.status());
  RADLADS_CHECK(content->size() <= kLimit) << content->size();
}

// As the ids of a conversation.
void CheckTurns(std::string_view bytes) {
  static const auto tokenizer = SmallTokenizer("{% for m in messages %}{{ m.role[0] }}{{ m.content }}!{% endfor %}");
  std::vector<int64_t> ids;
  for (const unsigned char byte : bytes) ids.push_back(byte % 97);
  int64_t last = 0;
  for (const ChatTurn& turn : SplitChat(ids, *tokenizer)) {
    RADLADS_CHECK(turn.tokens >= last && turn.tokens <= static_cast<int64_t>(ids.size())) << turn.tokens;
    last = turn.tokens;
  }
  const int64_t size = static_cast<int64_t>(ids.size()), begin = PartBegin(ids, size / 2, *tokenizer);
  RADLADS_CHECK(begin >= 0 && begin <= size / 2) << begin;
  for (const ChatTurn& turn : SplitChat(std::span(ids).subspan(begin), *tokenizer, begin)) {
    RADLADS_CHECK(turn.tokens >= begin && turn.tokens <= size) << turn.tokens;
  }
}

}  // namespace
}  // namespace radlads

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  radlads::CheckFrame(bytes);
  radlads::CheckBody(bytes);
  radlads::CheckDecompressed(bytes);
  radlads::CheckTurns(bytes);
  return 0;
}
