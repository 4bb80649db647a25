// A stream of requests, answered in batches. Private to the service.
#ifndef RADLADS_EVAL_SERVICE_STREAM_H_
#define RADLADS_EVAL_SERVICE_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/grpc_server.h"

namespace radlads {

// What a stream takes from a client that has not read the responses: beyond, it does not read on, and HTTP/2's flow
// control holds up the client.
constexpr int64_t kMostInFlight = 1024;
constexpr int64_t kMostBytesAhead = 16 << 20;  // of requests that are not yet begun

// Reads ahead while a thread of its own answers what has come, all of it at a time. Deletes itself.
template <typename Request, typename Response>
class EvalStream final : public grpc::ServerBidiReactor<Request, Response>, public GrpcStream {
 public:
  using Respond = std::function<void(Response)>;
  // Gives each of `requests` one response, on the calling thread; may leave some out when the stream is cancelled.
  using Answer = std::function<void(const std::vector<Request>& requests, const Respond& respond)>;
  // -> an Answer for a stream that is cancelled when the argument says so.
  using NewAnswer = std::function<Answer(std::function<bool()> cancelled)>;

  static grpc::ServerBidiReactor<Request, Response>* Open(GrpcStreams& streams, const NewAnswer& new_answer) {
    auto* stream = new EvalStream(streams);
    const absl::Status status = streams.Add(stream);
    if (status.ok()) {
      stream->Start(new_answer);
    } else {
      stream->Finish(ToGrpc(status));
    }
    return stream;
  }

  void Drain() override {
    std::lock_guard lock(mutex_);
    draining_ = true;
    if (!pending_.empty() || !ended_) unanswered_ = true;
    in_flight_ -= static_cast<int64_t>(pending_.size());
    pending_.clear();
    changed_.notify_all();
  }

 private:
  explicit EvalStream(GrpcStreams& streams) : streams_(streams) {}

  void Start(const NewAnswer& new_answer) {
    answer_ = new_answer([this] {
      std::lock_guard lock(mutex_);
      return cancelled_;
    });
    std::lock_guard lock(mutex_);
    thread_ = std::thread([this] { Work(); });
    ReadOn();
  }

  void OnReadDone(bool ok) override {
    std::lock_guard lock(mutex_);
    reading_ = false;
    if (!ok) {
      ended_ = true;
    } else if (!draining_) {
      ++in_flight_;
      bytes_ += static_cast<int64_t>(request_.ByteSizeLong());
      pending_.push_back(std::move(request_));
      request_ = Request();
    }
    changed_.notify_all();
    ReadOn();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    if (!ok) cancelled_ = true;
    if (cancelled_) {
      responses_.clear();
    } else {
      responses_.pop_front();
      --in_flight_;
      if (!responses_.empty()) this->StartWrite(&responses_.front());
    }
    changed_.notify_all();
    ReadOn();
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void OnDone() override {
    if (thread_.joinable()) thread_.join();
    streams_.Remove(this);
    delete this;
  }

  // With mutex_ held.
  void ReadOn() {
    if (reading_ || ended_ || draining_ || cancelled_) return;
    if (in_flight_ >= kMostInFlight || bytes_ >= kMostBytesAhead) return;
    reading_ = true;
    this->StartRead(&request_);
  }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock,
                    [&] { return cancelled_ || !pending_.empty() || ((ended_ || draining_) && responses_.empty()); });
      if (cancelled_ || pending_.empty()) break;
      std::vector<Request> batch;
      batch.swap(pending_);
      bytes_ = 0;
      ReadOn();
      lock.unlock();
      answer_(batch, [this](Response response) { Send(std::move(response)); });
      lock.lock();
    }
    changed_.wait(lock, [&] { return responses_.empty(); });  // the one that is being written
    grpc::Status status;
    if (cancelled_) {
      status = grpc::Status(grpc::CANCELLED, "the stream was cancelled");
    } else if (unanswered_) {
      status = grpc::Status(grpc::UNAVAILABLE, "the server shuts down; ask another for what has no response");
    }
    lock.unlock();
    this->Finish(status);
  }

  void Send(Response response) {
    std::lock_guard lock(mutex_);
    if (cancelled_) return;
    responses_.push_back(std::move(response));
    if (responses_.size() == 1) this->StartWrite(&responses_.front());
  }

  GrpcStreams& streams_;
  Answer answer_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Request request_;                 // being read
  std::vector<Request> pending_;    // not yet begun
  std::deque<Response> responses_;  // the first of them is being written
  int64_t in_flight_ = 0;           // read, and the response not written
  int64_t bytes_ = 0;               // of pending_
  bool reading_ = false, ended_ = false, draining_ = false, cancelled_ = false;
  bool unanswered_ = false;  // something the client sent, or may have
};

}  // namespace radlads

#endif  // RADLADS_EVAL_SERVICE_STREAM_H_
