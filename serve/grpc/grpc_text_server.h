// The streaming server over gRPC: texts and sessions (docs/formats/grpc_api.md), with the standard health service and
// reflection.
#ifndef RADLADS_SERVE_GRPC_GRPC_TEXT_SERVER_H_
#define RADLADS_SERVE_GRPC_GRPC_TEXT_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "serve/transport/request_work.h"
#include "serve/transport/served_model.h"

namespace prometheus {
class Registry;
}

namespace radlads {

struct GrpcTextServerOptions {
  std::string listen = "127.0.0.1:0";  // HOST:PORT, or unix:PATH; port 0: any that is free
  size_t streams = 1024;               // calls of Generate open at once
  // Bytes of a message, and of a session that is imported. Four of it, or 64 MiB if that is more, is the message_memory
  // of GrpcLimits.
  size_t max_message = 64 << 20;
  // What requests share, with other servers too, and must outlive this one; none: the server has its own.
  RequestWork* work = nullptr;
  int64_t max_tokens = 1024;             // of a reply whose request does not say
  std::string tls_certificate, tls_key;  // PEM files; none: plain
  std::vector<std::string> keys;         // API keys (ReadKeys); none: everyone may ask
  // Time for: the next message of a session that is imported; a client to take what waits for it; texts to end by
  // themselves after Drain.
  std::chrono::milliseconds request_time{20'000}, write_time{10'000}, drain_time{30'000};
};

class GrpcTextServer {
 public:
  // Listens and serves on threads of its own. `models`: one or more, with names of their own; their services and
  // `metrics`, to which some are added, must outlive the server. FAILED_PRECONDITION when the address cannot be had;
  // INVALID_ARGUMENT for a certificate or key that cannot be used.
  static absl::StatusOr<std::unique_ptr<GrpcTextServer>> Start(std::vector<ServedModel> models,
                                                               prometheus::Registry& metrics,
                                                               const GrpcTextServerOptions& options);
  // Drains.
  ~GrpcTextServer();

  int port() const;
  // Reports NOT_SERVING; no new calls, and no new texts on the streams that there are. Texts under way have
  // `drain_time` to end by themselves, then they end with UNAVAILABLE. Waits for all calls. Call it before
  // TextService::Drain, whose texts it would otherwise wait for without that limit.
  void Drain();

 private:
  class Impl;
  explicit GrpcTextServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_GRPC_TEXT_SERVER_H_
