// Answers /v1/completions and /v1/chat/completions.
#ifndef RADLADS_SERVE_HTTP_TEXT_HANDLER_H_
#define RADLADS_SERVE_HTTP_TEXT_HANDLER_H_

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "base/memory_budget.h"
#include "serve/http/request_log.h"
#include "serve/http/running_text.h"
#include "serve/http/text_call.h"
#include "serve/http/text_reply.h"
#include "serve/transport/served_model.h"

namespace radlads {

// Thread-safe. `models` and `log` must outlive it, and the responses that it sets up.
class TextHandler {
  // A request that is neither refused nor under way yet, until Done or its end.
  class Beginning {
   public:
    explicit Beginning(std::atomic<int64_t>& count) : count_(count) { ++count_; }
    ~Beginning() { Done(); }
    void Done() {
      if (std::exchange(done_, true)) return;
      --count_;
      count_.notify_all();
    }

   private:
    std::atomic<int64_t>& count_;
    bool done_ = false;
  };

 public:
  // What texts take of `memory`, which must outlive them too, goes back when they end.
  TextHandler(std::span<const ServedModel> models, int64_t max_tokens, MemoryBudget& memory, RequestLog& log)
      : models_(models), max_tokens_(max_tokens), memory_(memory), log_(log) {}

  // ParseChatCall or ParseCompletionCall.
  using Parse = absl::StatusOr<TextCall> (*)(const RequestJson& json, const ServedModel& model, int64_t max_tokens);

  // A request that was read, and that Drain waits for until it is answered.
  struct Asked {
    const ServedModel* model;
    TextCall call;
    MemoryBudget::Part memory;  // of `call`
    std::shared_ptr<Beginning> beginning;
  };
  // On any thread.
  absl::StatusOr<Asked> Read(Parse parse, std::string_view body);
  // On a thread of HttpConnections, with the log's request. A reply that is not streamed is there when it returns.
  void Answer(absl::StatusOr<Asked> asked, httplib::Response& response);
  // No new texts; those that go on at `end` end then. Returns when every stream that was accepted has begun: the
  // library writes nothing of one that begins when it is told to stop.
  void Drain(std::chrono::steady_clock::time_point end);

 private:
  absl::Status TryToAnswer(absl::StatusOr<Asked> asked, httplib::Response& response);
  void Stream(std::shared_ptr<RunningText> text, std::shared_ptr<TextReply> reply, const std::string& model,
              std::shared_ptr<Beginning> beginning, httplib::Response& response);
  absl::StatusOr<TextResult> Run(RunningText& text, const std::string& model,
                                 const std::function<bool(TextPiece piece)>& on_piece);

  const std::span<const ServedModel> models_;
  const int64_t max_tokens_;
  MemoryBudget& memory_;
  RequestLog& log_;
  std::atomic<int64_t> beginnings_ = 0;
  std::atomic<bool> draining_ = false;
  std::atomic<std::chrono::steady_clock::time_point> end_{};
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TEXT_HANDLER_H_
