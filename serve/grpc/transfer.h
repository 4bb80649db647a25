// A session on its way to a client or from it. Private to the service.
#ifndef RADLADS_SERVE_GRPC_TRANSFER_H_
#define RADLADS_SERVE_GRPC_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>

#include "absl/status/status.h"
#include "base/grpc_server.h"

namespace radlads {

// Holds one of the places of `transfers`, and ends a call whose client keeps it waiting.
class Transfer final : public GrpcStream {
 public:
  Transfer(grpc::ServerContext& context, GrpcStreams& transfers, std::chrono::milliseconds limit)
      : context_(context), transfers_(transfers), limit_(limit), status_(transfers.Add(this)) {}
  ~Transfer() override {
    if (status_.ok()) transfers_.Remove(this);
  }

  // There was a place.
  const absl::Status& status() const { return status_; }
  // Reads or writes one message, which waits for the client. False: there is none, or the call was cancelled.
  bool Move(const std::function<bool()>& move);
  // OK, or why the call was cancelled.
  absl::Status Ended() const;

  void Drain() override {}  // goes on to its end
  void Look() override;

 private:
  using Clock = std::chrono::steady_clock;

  grpc::ServerContext& context_;
  GrpcStreams& transfers_;
  const std::chrono::milliseconds limit_;
  std::atomic<Clock::time_point> late_at_{Clock::time_point::max()};
  std::atomic<bool> late_ = false;
  const absl::Status status_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_TRANSFER_H_
