#include "serve/http/text_reply.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "base/status.h"
#include "serve/http/http_error.h"

namespace radlads {
namespace {

constexpr char kDone[] = "data: [DONE]\n\n";

ReplyJson IdOrNull(const std::string& id) {
  return id.empty() ? ReplyJson() : ReplyJson(id);
}

ReplyJson Usage(const TextResult& result) {
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", result.reply_tokens},
          {"total_tokens", result.prompt_tokens + result.reply_tokens},
          {"prompt_tokens_details", {{"cached_tokens", result.cached_tokens}}}};
}

// Where the text stands now; not of OpenAI's API.
ReplyJson State(const TextResult& result) {
  return {{"session", IdOrNull(result.session)},
          {"snapshot", IdOrNull(result.snapshot)},
          {"tokens", result.text_tokens},
          {"bytes", result.state_bytes}};
}

const char* FinishReason(const TextResult& result) {
  return result.finish == TextFinish::kStop ? "stop" : "length";
}

}  // namespace

TextReply::TextReply(const TextCall& call, ReplyHeader header, std::shared_ptr<const Tokenizer> tokenizer)
    : chat_(call.chat),
      include_usage_(call.include_usage),
      logprobs_(call.text.logprobs),
      header_(std::move(header)),
      tokenizer_(std::move(tokenizer)),
      arrays_(tokenizer_) {}

// Of the tokens of `piece`, in the shape of the reply; null if none were asked for.
ReplyJson TextReply::Logprobs(const TextPiece& piece) {
  if (!logprobs_) return nullptr;
  ReplyJson content = ReplyJson::array();
  for (const TextToken& token : piece.tokens) {
    const auto top = std::span(token.top).first(std::min<size_t>(token.top.size(), *logprobs_));
    if (chat_) {
      content.push_back(TokenEntry(token.id, token.logprob, top, *tokenizer_));
    } else {
      arrays_.Add(token.id, token.logprob, top);
    }
  }
  if (!chat_) return arrays_.Take();
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

ReplyJson TextReply::Reply(const char* object, ReplyJson choices) const {
  return {{"id", header_.id},
          {"object", object},
          {"created", header_.created},
          {"model", header_.model},
          {"choices", std::move(choices)}};
}

void TextReply::Add(TextPiece piece) {
  whole_.text += piece.text;
  std::move(piece.tokens.begin(), piece.tokens.end(), std::back_inserter(whole_.tokens));
}

std::string TextReply::Whole(const TextResult& result) {
  ReplyJson choice = {{"index", 0}};
  if (chat_) {
    choice["message"] = {{"role", "assistant"}, {"content", whole_.text}, {"refusal", nullptr}};
  } else {
    choice["text"] = whole_.text;
  }
  choice["logprobs"] = Logprobs(whole_);
  choice["finish_reason"] = FinishReason(result);
  ReplyJson reply = Reply(chat_ ? "chat.completion" : "text_completion", ReplyJson::array({std::move(choice)}));
  reply["usage"] = Usage(result);
  reply["state"] = State(result);
  return Dump(reply);
}

std::string TextReply::Event(ReplyJson choices, const TextResult* result) const {
  ReplyJson reply = Reply(chat_ ? "chat.completion.chunk" : "text_completion", std::move(choices));
  if (include_usage_) reply["usage"] = nullptr;
  if (result != nullptr) reply["state"] = State(*result);
  return Concatenate("data: ", Dump(reply), "\n\n");
}

std::string TextReply::Begin() {
  if (!chat_) return "";
  const ReplyJson choice = {{"index", 0},
                            {"delta", {{"role", "assistant"}, {"content", ""}}},
                            {"logprobs", nullptr},
                            {"finish_reason", nullptr}};
  return Event(ReplyJson::array({choice}), nullptr);
}

std::string TextReply::Piece(const TextPiece& piece) {
  if (piece.text.empty() && (!logprobs_ || piece.tokens.empty())) return "";
  ReplyJson choice = {{"index", 0}};
  if (chat_) {
    choice["delta"] = {{"content", piece.text}};
  } else {
    choice["text"] = piece.text;
  }
  choice["logprobs"] = Logprobs(piece);
  choice["finish_reason"] = nullptr;
  return Event(ReplyJson::array({std::move(choice)}), nullptr);
}

std::string TextReply::End(const TextResult& result) {
  ReplyJson choice = {{"index", 0}};
  if (chat_) {
    choice["delta"] = ReplyJson::object();
  } else {
    choice["text"] = "";
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishReason(result);
  std::string events = Event(ReplyJson::array({std::move(choice)}), &result);
  if (include_usage_) {
    ReplyJson last = Reply(chat_ ? "chat.completion.chunk" : "text_completion", ReplyJson::array());
    last["usage"] = Usage(result);
    events += Concatenate("data: ", Dump(last), "\n\n");
  }
  return events + kDone;
}

std::string TextReply::Error(const absl::Status& status) {
  return Concatenate("data: ", ErrorReply(status), "\n\n", kDone);
}

}  // namespace radlads
