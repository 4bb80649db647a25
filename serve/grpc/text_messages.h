// The messages of text_service.proto and the types of serve/text_service.h.
#ifndef RADLADS_SERVE_GRPC_TEXT_MESSAGES_H_
#define RADLADS_SERVE_GRPC_TEXT_MESSAGES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/grpc/text_service.pb.h"
#include "serve/text_service.h"
#include "serve/transport/served_model.h"

namespace radlads {

// INVALID_ARGUMENT says which field is wrong, and what it can be; NOT_FOUND for a session that a chat goes on from.
// `max_tokens`: of a reply whose request does not say.
absl::StatusOr<TextRequest> ParseText(const serve::v1::Text& text, const ServedModel& model, int64_t max_tokens);

// Adds to `piece`; log probabilities only if `logprobs`.
void AddTo(const TextPiece& from, bool logprobs, serve::v1::Piece* piece);
// `error`: why the text did not begin or ended otherwise; OK where `result` says how it ended.
serve::v1::Result ToWire(const TextResult& result, const absl::Status& error);
serve::v1::Model ToWire(const ServedModel& model);
serve::v1::Session ToWire(const ServedModel& model, const SessionInfo& session);
serve::v1::Snapshot ToWire(const SnapshotInfo& snapshot);

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_TEXT_MESSAGES_H_
