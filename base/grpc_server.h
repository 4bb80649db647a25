// What the gRPC servers of this project have in common: health, reflection, and how they end.
#ifndef RADLADS_BASE_GRPC_SERVER_H_
#define RADLADS_BASE_GRPC_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// The message cut to what travels in a header; whole characters, if it is UTF-8.
grpc::Status ToGrpc(const absl::Status& status);

// What clients may take of a server.
struct GrpcLimits {
  int threads = std::numeric_limits<int>::max();  // of calls that have one
  // Bytes of messages that still arrive, of all calls together. gRPC 1.51 sees to it after the fact: where they are
  // more, it ends one call after the other, of whatever client, with RESOURCE_EXHAUSTED until they are not. Clients
  // that send faster than that can have the server hold several times as much for a moment.
  size_t message_memory = 256 << 20;
};

// A server of one service, with grpc.health.v1.Health (for the service's name too) and reflection. Clients that vanish
// without a word are noticed within 30 s.
class GrpcServer {
 public:
  // Listens on `listen`, HOST:PORT or unix:PATH; port 0 takes a free one. `builder` may have options of its own;
  // `service` must outlive the server. FAILED_PRECONDITION when the address cannot be had, INVALID_ARGUMENT when it is
  // none.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(grpc::ServerBuilder& builder, const GrpcLimits& limits,
                                                           const std::string& listen,
                                                           std::shared_ptr<grpc::ServerCredentials> credentials,
                                                           grpc::Service& service, const std::string& service_name);
  // Cancels what is left.
  ~GrpcServer();

  int port() const { return port_; }
  // Health says NOT_SERVING from now on.
  void ReportNotServing();
  // No new calls; waits for those that are open, and cancels them at `end`. Once.
  void Shutdown(std::chrono::system_clock::time_point end);

 private:
  GrpcServer() = default;

  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  bool shut_down_ = false;
};

// A call that may stay open for long.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;
  // Begins nothing new, and ends.
  virtual void Drain() = 0;
  // Looks whether its client holds it up.
  virtual void Look() {}
};

// The streams that are open, and whether there may be more. Thread-safe; streams are called one at a time, and may not
// call back from there.
class GrpcStreams {
 public:
  // `advice`: what the client of one too many can do.
  GrpcStreams(size_t most, std::string advice) : most_(most), advice_(std::move(advice)) {}
  ~GrpcStreams();  // waits until there are none

  // RESOURCE_EXHAUSTED when there are too many, UNAVAILABLE after Drain.
  absl::Status Add(GrpcStream* stream);
  void Remove(GrpcStream* stream);
  size_t size() const;
  // Drains all; there will be no others.
  void Drain();
  void Look();

 private:
  const size_t most_;
  const std::string advice_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<GrpcStream*> streams_;
  bool draining_ = false;
};

}  // namespace radlads

#endif  // RADLADS_BASE_GRPC_SERVER_H_
