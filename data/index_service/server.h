// An index service: the datasets of one catalog and their samples over gRPC (docs/formats/index_service.md), with the
// standard health service and reflection, and metrics for Prometheus over HTTP.
#ifndef RADLADS_DATA_INDEX_SERVICE_SERVER_H_
#define RADLADS_DATA_INDEX_SERVICE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

struct IndexServerOptions {
  std::string catalog;                    // directory
  std::string listen = "127.0.0.1:7070";  // HOST:PORT; port 0 takes a free one
  std::string api_key;                    // '' asks for none
  std::string metrics_listen;             // HOST:PORT of http://HOST:PORT/metrics; '' for none
};

class IndexServer {
 public:
  // Listens and serves in threads of its own. FAILED_PRECONDITION when `listen` can be reached from other machines and
  // there is no key, and when an address cannot be had; NOT_FOUND when there is no catalog.
  static absl::StatusOr<std::unique_ptr<IndexServer>> Start(const IndexServerOptions& options);
  // Drains.
  ~IndexServer();
  IndexServer(const IndexServer&) = delete;
  IndexServer& operator=(const IndexServer&) = delete;

  int port() const;
  int metrics_port() const;  // 0 without metrics

  // Reports NOT_SERVING, ends streams after the batch in hand, and waits for them, two seconds at most. Clients go on
  // elsewhere, or here when a server is back.
  void Drain();

 private:
  class Impl;
  explicit IndexServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// True when only this machine can reach HOST:PORT: localhost, 127.x.x.x, [::1], unix:PATH.
bool IsLoopback(const std::string& address);

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_SERVER_H_
