#include "serve/sessions/served_text.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "model/token_score.h"

namespace radlads {

ServedText::ServedText(std::shared_ptr<const Tokenizer> tokenizer, TextRequest asked, TextCallbacks callbacks)
    : request(std::move(asked)),
      callbacks(std::move(callbacks)),
      stop_ids(StopIds(*tokenizer, request.stop)),
      growing(std::move(tokenizer), request.stop) {}

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
  reply.push_back(id);
  last_hash = full_hash;
  full_hash = Extend(full_hash, id);
  sampled = true;
  const bool goes_on = growing.Append(id);
  TextEvent event;
  event.piece = {.text = growing.Take(), .tokens = {std::move(token)}};
  emit(std::move(event));
  return goes_on && !unwanted;
}

void ServedText::Replay(int64_t id) {
  reply.push_back(id);
  growing.Append(id);
  growing.Take();
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
      return text.growing.ended() ? TextFinish::kStop : TextFinish::kLength;
    case FinishReason::kCallback:
      return text.growing.ended() ? TextFinish::kStop : TextFinish::kCancelled;
    case FinishReason::kCancelled:
      return TextFinish::kCancelled;
    case FinishReason::kError:
      return TextFinish::kError;
  }
  return TextFinish::kError;
}

}  // namespace radlads
