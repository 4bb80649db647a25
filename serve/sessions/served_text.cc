#include "serve/sessions/served_text.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "model/token_score.h"

namespace radlads {

ServedText::ServedText(std::shared_ptr<const Tokenizer> words, TextRequest asked, TextCallbacks callbacks)
    : request(std::move(asked)),
      callbacks(std::move(callbacks)),
      stop_ids(StopIds(*words, request.stop, request.stop_ids, request.ignore_eos)),
      tokenizer(std::move(words)),
      growing(tokenizer, request.stop) {
  if (request.json) json.emplace();
}

bool ServedText::Allows(int64_t id) const {
  if (!json) return !TooShort() || std::find(stop_ids.begin(), stop_ids.end(), id) == stop_ids.end();
  const auto bytes = tokenizer->BytesOf(static_cast<int32_t>(id));
  if (!bytes || bytes->empty() || tokenizer->IsSpecial(static_cast<int32_t>(id))) return false;
  return GrowingJson(*json).Append(*bytes);
}

void ServedText::Grow(int64_t id) {
  const bool watch = !TooShort();
  reply.push_back(id);
  // The text ends before a token that the request names.
  const auto& ids = request.stop_ids;
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) growing.Append(id, watch);
  if (json) json->Append(*tokenizer->BytesOf(static_cast<int32_t>(id)));
}

bool ServedText::OnToken(int64_t id, const Tensor& logits, const std::function<void(TextEvent)>& emit) {
  TextToken token{.id = id};
  if (request.logprobs) {
    const auto scores = ScoreLogits(logits.unsqueeze(0), {{.row = 0, .target = id, .top = *request.logprobs}});
    if (!scores.ok()) {
      broken = scores.status();
      return false;
    }
    token.logprob = scores->front().logprob;
    token.top = scores->front().top;
  }
  last_hash = full_hash;
  full_hash = Extend(full_hash, id);
  sampled = true;
  Grow(id);
  TextEvent event;
  event.piece = {.text = growing.Take(), .tokens = {std::move(token)}};
  emit(std::move(event));
  return !Ended() && !unwanted;
}

absl::Status ServedText::Replay(int64_t id) {
  if (json && !Allows(id)) {
    return InvalidArgument("the reply that is to go on is no JSON object after its first ", reply.size(),
                           " tokens; go on with it as text");
  }
  Grow(id);
  growing.Take();
  return absl::OkStatus();
}

TextEvent ServedText::OnEnd(EngineResult result) {
  growing.Finish();
  TextEvent event;
  event.piece.text = growing.Take();
  if (result.snapshot != nullptr) event.end_hash = HashAt(result.snapshot->tokens);
  event.result = std::move(result);
  return event;
}

PrefixHash ServedText::HashAt(int64_t place) const {
  const int64_t given = place - hash_begin;
  RADLADS_CHECK(given >= 0) << "place " << place << " before " << hash_begin;
  if (given < static_cast<int64_t>(hashes.size())) return hashes[given];
  const int64_t end = begin + static_cast<int64_t>(request.prompt.size() + reply.size());
  RADLADS_CHECK(place == end || place == end - 1) << "place " << place << " of " << end;
  return place == end ? full_hash : last_hash;
}

TextFinish FinishOf(const ServedText& text, const EngineResult& result) {
  switch (result.finish) {
    case FinishReason::kStopToken:
      return TextFinish::kStop;
    case FinishReason::kLength:
      return text.Ended() ? TextFinish::kStop : TextFinish::kLength;
    case FinishReason::kCallback:
      return text.Ended() ? TextFinish::kStop : TextFinish::kCancelled;
    case FinishReason::kCancelled:
      return TextFinish::kCancelled;
    case FinishReason::kError:
      return TextFinish::kError;
  }
  return TextFinish::kError;
}

}  // namespace radlads
