#include "serve/http/text_handler.h"

#include <ctime>
#include <utility>

#include "base/status.h"
#include "serve/http/http_connections.h"
#include "serve/http/http_error.h"
#include "serve/http/http_reply.h"
#include "serve/transport/json_fields.h"

namespace radlads {

void TextHandler::Drain(std::chrono::steady_clock::time_point end) {
  end_ = end;
  draining_ = true;
  while (const int64_t count = beginnings_) beginnings_.wait(count);
}

absl::StatusOr<TextHandler::Asked> TextHandler::Read(Parse parse, std::string_view body) {
  // Before the look at draining_, so that Drain sees it or it sees Drain.
  auto beginning = std::make_shared<Beginning>(beginnings_);
  if (draining_) return absl::UnavailableError("the server shuts down; ask another one, or later");
  MemoryBudget::Part memory(memory_);
  RADLADS_ASSIGN_OR_RETURN(const RequestJson json, ParseObject(body, &memory));
  RADLADS_ASSIGN_OR_RETURN(const std::string name, String(json, "model", ""));
  // Many clients have the name of another server's model built in; where there is one model, it is meant.
  RADLADS_ASSIGN_OR_RETURN(const ServedModel* model, FindModel(models_, models_.size() == 1 ? "" : name));
  RADLADS_ASSIGN_OR_RETURN(TextCall call, parse(json, *model, max_tokens_));
  memory.ShrinkTo(static_cast<int64_t>(call.text.prompt.size() * sizeof(call.text.prompt[0])));
  return Asked{.model = model, .call = std::move(call), .memory = std::move(memory), .beginning = std::move(beginning)};
}

void TextHandler::Answer(absl::StatusOr<Asked> asked, httplib::Response& response) {
  const absl::Status status = TryToAnswer(std::move(asked), response);
  if (!status.ok()) SendError(response, status);
}

absl::Status TextHandler::TryToAnswer(absl::StatusOr<Asked> asked, httplib::Response& response) {
  RADLADS_RETURN_IF_ERROR(asked.status());
  auto& [model, call, memory, beginning] = *asked;
  const std::string id = (call.chat ? "chatcmpl-" : "cmpl-") + RandomHex(24);
  if (call.text.keep || !call.text.session.empty()) call.text.snapshot_id = id;
  auto reply = std::make_shared<TextReply>(
      call, ReplyHeader{.id = id, .model = model->name, .created = std::time(nullptr)}, model->tokenizer);
  RADLADS_ASSIGN_OR_RETURN(std::shared_ptr<RunningText> text,
                           RunningText::Start(*model->service, std::move(call.text), std::move(memory)));
  if (call.stream) {
    Stream(std::move(text), std::move(reply), model->name, beginning, response);
    return absl::OkStatus();
  }
  beginning->Done();
  RADLADS_ASSIGN_OR_RETURN(const TextResult result, Run(*text, model->name, [&](TextPiece piece) {
                             reply->Add(std::move(piece));
                             return true;
                           }));
  if (result.finish == TextFinish::kCancelled) return absl::CancelledError("the client left");
  response.set_content(reply->Whole(result), kJsonType);
  return absl::OkStatus();
}

void TextHandler::Stream(std::shared_ptr<RunningText> text, std::shared_ptr<TextReply> reply, const std::string& model,
                         std::shared_ptr<Beginning> beginning, httplib::Response& response) {
  response.set_header("Cache-Control", "no-cache");
  response.set_header("X-Accel-Buffering", "no");
  // Exactly this type: the library would compress others, and so hold them back.
  response.set_chunked_content_provider(
      "text/event-stream", [this, text = std::move(text), reply = std::move(reply), model,
                            beginning = std::move(beginning)](size_t, auto& sink) {
        beginning->Done();
        const auto write = [&sink](const std::string& events) {
          return events.empty() || sink.write(events.data(), events.size());
        };
        if (!write(reply->Begin())) return false;
        const auto result = Run(*text, model, [&](TextPiece piece) {
          const bool silence = piece.text.empty() && piece.tokens.empty();
          return write(silence ? ": the text goes on\n\n" : reply->Piece(piece));
        });
        if (result.ok() && result->finish == TextFinish::kCancelled) return false;
        if (!write(result.ok() ? reply->End(*result) : TextReply::Error(result.status()))) return false;
        sink.done();
        return true;
      });
}

absl::StatusOr<TextResult> TextHandler::Run(RunningText& text, const std::string& model,
                                            const std::function<bool(TextPiece piece)>& on_piece) {
  bool first = true;
  const auto take = [&](TextPiece piece) {
    if (first && !piece.tokens.empty()) {
      log_.FirstToken();
      first = false;
    }
    return on_piece(std::move(piece));
  };
  auto result = text.Run({.on_piece = take, .left = HttpConnections::ClientLeft, .hurry = [this] {
                            return draining_ && std::chrono::steady_clock::now() >= end_.load();
                          }});
  if (result.ok()) log_.Text(model, *result);
  if (!result.ok()) log_.Note(Concatenate(" error=", Dump(std::string(result.status().message()))));
  return result;
}

}  // namespace radlads
