#include "serve/grpc/outbox.h"

#include <utility>

#include "serve/grpc/text_messages.h"

namespace radlads {

Outbox::Waiting& Outbox::Of(uint64_t id) {
  const auto [at, is_new] = waiting_.try_emplace(id);
  if (is_new) turns_.push_back(id);
  return at->second;
}

void Outbox::Add(uint64_t id, const TextPiece& piece, bool logprobs) {
  size_t bytes = piece.text.size();
  for (const TextToken& token : piece.tokens) {
    bytes += sizeof(serve::v1::Token) + (logprobs ? token.top.size() * sizeof(serve::v1::LikelyToken) : 0);
  }
  std::deque<Part>& parts = Of(id).parts;
  if (parts.empty() || parts.back().bytes >= kMaxPiece) parts.emplace_back();
  AddTo(piece, logprobs, &parts.back().piece);
  parts.back().bytes += bytes;
  bytes_ += bytes;
}

void Outbox::Add(uint64_t id, serve::v1::Result result) {
  Of(id).result = std::move(result);
}

std::optional<serve::v1::GenerateResponse> Outbox::Next() {
  if (turns_.empty()) return std::nullopt;
  const uint64_t id = turns_.front();
  turns_.pop_front();
  const auto at = waiting_.find(id);
  Waiting& waiting = at->second;
  serve::v1::GenerateResponse response;
  response.set_id(id);
  if (!waiting.parts.empty()) {
    *response.mutable_piece() = std::move(waiting.parts.front().piece);
    bytes_ -= waiting.parts.front().bytes;
    waiting.parts.pop_front();
  } else {
    *response.mutable_result() = *std::exchange(waiting.result, std::nullopt);
  }
  if (waiting.parts.empty() && !waiting.result) {
    waiting_.erase(at);
  } else {
    turns_.push_back(id);
  }
  return response;
}

void Outbox::Clear() {
  waiting_.clear();
  turns_.clear();
  bytes_ = 0;
}

}  // namespace radlads
