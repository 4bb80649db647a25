// A call of Generate: the texts of one client. Private to the service.
#ifndef RADLADS_SERVE_GRPC_TEXT_STREAM_H_
#define RADLADS_SERVE_GRPC_TEXT_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/grpc_server.h"
#include "base/memory_budget.h"
#include "serve/grpc/call_log.h"
#include "serve/grpc/outbox.h"
#include "serve/transport/access.h"
#include "serve/transport/request_work.h"
#include "serve/transport/served_model.h"

namespace radlads {

// What all streams of a server share; outlives them.
struct TextStreamContext {
  const std::vector<ServedModel>& models;
  const Access& access;
  CallLog& log;
  GrpcStreams& streams;
  RequestWork& work;
  int64_t max_tokens;                    // of a reply whose request does not say
  std::chrono::milliseconds write_time;  // that a client may take to take what is there
  // Texts that go on then end. Set before the streams are drained.
  std::atomic<std::chrono::steady_clock::time_point> drain_end{};
};

// Reads requests one at a time: a thread of its own begins their texts, which may take a while, and logs their ends.
// The services' threads put pieces into the outbox and never wait; one response is written at a time. Deletes itself.
class TextStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public GrpcStream {
 public:
  // Waits for a client that reads too slowly: beyond it, texts end with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxWaiting = 16 << 20;  // bytes
  // With more texts of which something waits, requests are not read on, and HTTP/2's flow control holds up the client.
  static constexpr size_t kMaxTextsWaiting = 1024;

  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Open(TextStreamContext& shared,
                                                                           grpc::CallbackServerContext& context);

  void Drain() override;
  // Also ends texts whose time to drain is over.
  void Look() override;

 private:
  struct Text {
    const ServedModel* model = nullptr;
    std::optional<uint64_t> number;                       // of its service; none while it is being started
    bool logprobs = false, asked = false, spoke = false;  // asked: by the client, to end
    absl::Status why;                                     // the stream ended it
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    TextResult result;
    absl::Status error;  // of the result
    std::optional<MemoryBudget::Part> memory;
  };
  using Cancels = std::vector<std::pair<TextService*, uint64_t>>;

  TextStream(TextStreamContext& shared, grpc::CallbackServerContext& context)
      : shared_(shared), context_(context), call_(CallName::Of(context, "Generate")) {}

  void Begin();
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // On the thread.
  void Work();
  absl::Status Take(const grpc::ByteBuffer& message);
  absl::Status Read(const grpc::ByteBuffer& message);
  using Start = std::function<absl::StatusOr<uint64_t>(Text& text)>;  // -> the number
  absl::Status BeginText(uint64_t id, const Start& start);
  absl::StatusOr<uint64_t> StartText(uint64_t id, const serve::v1::GenerateRequest& request, MemoryBudget::Part memory,
                                     Text& text);
  void CancelText(uint64_t id);
  // On threads of the services.
  bool OnPiece(uint64_t id, TextPiece piece);
  void OnTextDone(uint64_t id, TextResult result);

  // With mutex_ held.
  bool Over() const;
  void ReadOn();
  void WriteOn();
  void EndText(uint64_t id, Text& text);
  // What is to be cancelled once the mutex is not held.
  Cancels EndTexts(const absl::Status& why);
  static void Cancel(const Cancels& texts);

  TextStreamContext& shared_;
  grpc::CallbackServerContext& context_;
  const CallName call_;
  bool open_ = false;
  int64_t texts_begun_ = 0;
  absl::Status status_;  // with which it ended
  std::thread thread_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  grpc::ByteBuffer incoming_, outgoing_;     // while it is read, written
  std::optional<grpc::ByteBuffer> message_;  // that was read
  std::map<uint64_t, Text> texts_;
  std::vector<uint64_t> ended_texts_;  // to be logged and forgotten
  Outbox outbox_;
  bool reading_ = false, writing_ = false;
  std::chrono::steady_clock::time_point writing_since_{};
  bool half_closed_ = false, cancelled_ = false, draining_ = false, late_ = false;
  absl::Status failure_;  // of the client to keep to the protocol
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_TEXT_STREAM_H_
