// The replies of /v1/completions and /v1/chat/completions, whole and as server-sent events: docs/formats/http_api.md.
#ifndef RADLADS_SERVE_HTTP_TEXT_REPLY_H_
#define RADLADS_SERVE_HTTP_TEXT_REPLY_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/http/text_call.h"
#include "serve/http/token_json.h"
#include "serve/text_service.h"
#include "serve/transport/json_fields.h"

namespace radlads {

// One reply, one thread. Either Add and Whole, or Begin, Piece and End (or Error).
class TextReply {
 public:
  TextReply(const TextCall& call, ReplyHeader header, std::shared_ptr<const Tokenizer> tokenizer);

  void Add(TextPiece piece);
  std::string Whole(const TextResult& result);

  // Events; empty where there is nothing to say.
  std::string Begin();
  std::string Piece(const TextPiece& piece);
  // The reason why the text ended, the counts if they were asked for, and the end of the stream.
  std::string End(const TextResult& result);
  // In place of End.
  static std::string Error(const absl::Status& status);

 private:
  ReplyJson Logprobs(const TextPiece& piece);
  ReplyJson Reply(const char* object, ReplyJson choices) const;
  std::string Event(ReplyJson choices, const TextResult* result) const;

  const bool chat_, include_usage_;
  const std::optional<int64_t> logprobs_;
  const ReplyHeader header_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  TokenArrays arrays_;
  TextPiece whole_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TEXT_REPLY_H_
