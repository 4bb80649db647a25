#include "serve/grpc/text_messages.h"

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "data/tokenizer/utf8.h"
#include "serve/transport/chat_turns.h"

namespace radlads {
namespace {

namespace wire = serve::v1;

constexpr int64_t kMaxLogprobs = 20;
constexpr int kMaxStopTokens = 256;
constexpr size_t kMaxErrorBytes = 2000;

absl::Status CheckRange(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument("sampling.", name, " must be a number from ", low, " to ", high, ", found ", value);
}

absl::StatusOr<SamplingOptions> ParseSampling(const wire::Sampling& from, int64_t vocabulary) {
  constexpr double kHuge = std::numeric_limits<float>::max();
  RADLADS_RETURN_IF_ERROR(CheckRange("temperature", from.temperature(), 0, kHuge));
  RADLADS_RETURN_IF_ERROR(CheckRange("top_p", from.top_p(), 0, 1));
  RADLADS_RETURN_IF_ERROR(CheckRange("repetition_penalty", from.repetition_penalty(), 1e-9, kHuge));
  SamplingOptions options{.repetition_penalty = from.repetition_penalty(),
                          .presence_penalty = from.presence_penalty(),
                          .frequency_penalty = from.frequency_penalty(),
                          .temperature = from.temperature(),
                          .top_k = from.top_k(),
                          .top_p = from.top_p(),
                          .min_p = from.min_p(),
                          .seed = from.seed()};
  if (!from.has_seed()) {
    std::random_device random;
    options.seed = (static_cast<uint64_t>(random()) << 32) | random();
  }
  for (const auto& [id, bias] : from.logit_bias()) {
    RADLADS_RETURN_IF_ERROR(CheckRange("logit_bias", bias, -100, 100));
    options.logit_bias[id] = bias;
  }
  const absl::Status status = options.Check(vocabulary);
  return status.ok() ? absl::StatusOr<SamplingOptions>(std::move(options)) : Annotate(status, "sampling");
}

absl::Status CheckTokens(const char* name, const google::protobuf::RepeatedField<int64_t>& ids,
                         const ServedModel& model) {
  const int64_t vocabulary = model.service->info().vocabulary;
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      return InvalidArgument(name, ": id ", id, " is outside of the model's vocabulary of ", vocabulary);
    }
  }
  return absl::OkStatus();
}

absl::Status ParsePrompt(const wire::Text& from, const ServedModel& model, TextRequest* text) {
  const bool goes_on = !text->session.empty() || !text->snapshot.empty();
  switch (from.prompt_case()) {
    case wire::Text::kText: {
      const std::vector<int32_t> ids = model.tokenizer->Encode(from.text());
      text->prompt.assign(ids.begin(), ids.end());
      break;
    }
    case wire::Text::kTokens: {
      RADLADS_RETURN_IF_ERROR(CheckTokens("tokens", from.tokens().ids(), model));
      text->prompt.assign(from.tokens().ids().begin(), from.tokens().ids().end());
      break;
    }
    case wire::Text::kChat: {
      std::vector<ChatMessage> messages;
      for (const wire::Message& message : from.chat().messages()) {
        messages.push_back({.role = message.role(), .content = message.content()});
      }
      return SetChatPrompt(messages, model, {.end = UsualEnd(messages)}, text);
    }
    case wire::Text::PROMPT_NOT_SET:
      if (!goes_on)
        return InvalidArgument("the text has no prompt and nothing to go on from; give text, tokens or chat");
      break;
  }
  if (text->prompt.empty() && !goes_on) {
    return InvalidArgument("the prompt has no token; give at least the begin-of-text token");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TextRequest> ParseText(const wire::Text& from, const ServedModel& model, int64_t max_tokens) {
  TextRequest text{.session = from.session(), .snapshot = from.snapshot()};
  if (from.from_case() != wire::Text::FROM_NOT_SET && text.session.empty() && text.snapshot.empty()) {
    return InvalidArgument("the session or snapshot to go on from has no name; leave it out for a new text");
  }
  text.max_tokens = from.has_max_tokens() ? from.max_tokens() : max_tokens;
  if (text.max_tokens < 0) return InvalidArgument("max_tokens must be 0 or more, found ", text.max_tokens);
  RADLADS_ASSIGN_OR_RETURN(text.sampling, ParseSampling(from.sampling(), model.service->info().vocabulary));
  text.stop.assign(from.stop().begin(), from.stop().end());
  if (from.stop_tokens_size() > kMaxStopTokens) {
    return InvalidArgument("stop_tokens: ", from.stop_tokens_size(), " of them, a text takes at most ", kMaxStopTokens);
  }
  text.stop_ids.assign(from.stop_tokens().begin(), from.stop_tokens().end());
  RADLADS_RETURN_IF_ERROR(CheckTokens("stop_tokens", from.stop_tokens(), model));
  text.ignore_eos = from.ignore_eos();
  text.min_tokens = from.min_tokens();
  if (text.min_tokens < 0 || text.min_tokens > text.max_tokens) {
    return InvalidArgument("min_tokens must be from 0 to max_tokens, ", text.max_tokens, ", found ", text.min_tokens);
  }
  if (from.has_logprobs()) {
    if (from.logprobs() < 0 || from.logprobs() > kMaxLogprobs) {
      return InvalidArgument("logprobs must be from 0 to ", kMaxLogprobs, ", found ", from.logprobs());
    }
    text.logprobs = from.logprobs();
  }
  text.keep = from.keep();
  text.snapshot_id = from.snapshot_id();
  RADLADS_RETURN_IF_ERROR(ParsePrompt(from, model, &text));
  return text;
}

void AddTo(const TextPiece& from, bool logprobs, wire::Piece* piece) {
  if (!from.text.empty()) piece->mutable_text()->append(from.text);
  for (const TextToken& token : from.tokens) {
    wire::Token* const added = piece->add_tokens();
    added->set_id(token.id);
    if (!logprobs) continue;
    added->set_logprob(token.logprob);
    for (const auto& [id, logprob] : token.top) {
      wire::LikelyToken* const likely = added->add_likeliest();
      likely->set_id(id);
      likely->set_logprob(logprob);
    }
  }
}

wire::Result ToWire(const TextResult& result, const absl::Status& error) {
  wire::Result to;
  if (!error.ok()) {
    to.mutable_error()->set_code(static_cast<int>(error.code()));
    // It may quote what the client sent.
    const std::string_view message(error.message().data(), std::min(error.message().size(), kMaxErrorBytes));
    AppendUtf8Lossy(message, message.size() < kMaxErrorBytes, to.mutable_error()->mutable_message());
  } else {
    to.set_finish(result.finish == TextFinish::kStop     ? wire::Result::STOP
                  : result.finish == TextFinish::kLength ? wire::Result::LENGTH
                                                         : wire::Result::CANCELLED);
  }
  if (!result.session.empty()) to.set_session(result.session);
  if (!result.snapshot.empty()) to.set_snapshot(result.snapshot);
  to.set_prompt_tokens(result.prompt_tokens);
  to.set_cached_tokens(result.cached_tokens);
  to.set_reply_tokens(result.reply_tokens);
  to.set_text_tokens(result.text_tokens);
  to.set_state_bytes(result.state_bytes);
  return to;
}

wire::Model ToWire(const ServedModel& model) {
  const ServiceInfo info = model.service->info();
  wire::Model to;
  to.set_name(model.name);
  to.set_vocabulary(info.vocabulary);
  to.set_context(info.context);
  to.set_state_grows(info.state_grows);
  return to;
}

wire::Session ToWire(const ServedModel& model, const SessionInfo& session) {
  wire::Session to;
  to.set_model(model.name);
  to.set_id(session.id);
  to.set_tokens(session.tokens);
  to.set_state_bytes(session.state_bytes);
  to.set_stored_bytes(session.stored_bytes);
  to.set_created(session.created);
  to.set_used(session.used);
  if (session.expires != 0) to.set_expires(session.expires);
  if (!session.parent.empty()) to.set_parent(session.parent);
  to.set_busy(session.busy);
  to.set_cut(session.cut);
  return to;
}

wire::Snapshot ToWire(const SnapshotInfo& snapshot) {
  wire::Snapshot to;
  to.set_id(snapshot.id);
  to.set_tokens(snapshot.tokens);
  to.set_bytes(snapshot.bytes);
  to.set_created(snapshot.created);
  return to;
}

}  // namespace radlads
