#include "data/index_service/server.h"

#include <grpcpp/grpcpp.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/grpc_server.h"
#include "base/loopback.h"
#include "base/status.h"
#include "data/catalog/catalog.h"
#include "data/index_service/service.h"

namespace radlads {
namespace {

constexpr int kMaxThreads = 256;
constexpr auto kDrainTime = std::chrono::seconds(2);

// "HOST:PORT" of `address`; the host without brackets.
bool SplitAddress(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  if (host->size() > 1 && host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  const std::string digits = address.substr(colon + 1);
  if (digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) return false;
  *port = std::stoi(digits);
  return *port < 65536 && !host->empty();
}

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  std::string host;
  int port = 0;
  return SplitAddress(address, &host, &port) && IsLoopbackHost(host);
}

class IndexServer::Impl {
 public:
  explicit Impl(const IndexServerOptions& options) : service_(options.catalog, options.api_key, metrics_) {}

  absl::Status Start(const IndexServerOptions& options) {
    grpc::ServerBuilder builder;
    RADLADS_ASSIGN_OR_RETURN(
        server_, GrpcServer::Start(builder, {.threads = kMaxThreads}, options.listen, grpc::InsecureServerCredentials(),
                                   service_, index_service::v1::IndexService::service_full_name()));
    return options.metrics_listen.empty() ? absl::OkStatus() : StartMetrics(options.metrics_listen);
  }

  ~Impl() {
    Drain();
    http_.stop();
    if (http_thread_.joinable()) http_thread_.join();
  }

  void Drain() {
    if (server_ == nullptr || drained_.exchange(true)) return;
    server_->ReportNotServing();
    service_.StopStreams();
    server_->Shutdown(std::chrono::system_clock::now() + kDrainTime);
  }

  int port() const { return server_->port(); }
  int metrics_port() const { return metrics_port_; }

 private:
  absl::Status StartMetrics(const std::string& address) {
    std::string host;
    int port = 0;
    if (!SplitAddress(address, &host, &port)) {
      return InvalidArgument("'", address, "' is no address for metrics; expected HOST:PORT");
    }
    http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics_.Text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    if (port == 0) {
      metrics_port_ = http_.bind_to_any_port(host.c_str());
    } else if (http_.bind_to_port(host.c_str(), port)) {
      metrics_port_ = port;
    }
    if (metrics_port_ <= 0) return absl::UnavailableError("cannot listen on " + address + " for metrics");
    http_thread_ = std::thread([this] { http_.listen_after_bind(); });
    return absl::OkStatus();
  }

  IndexServiceMetrics metrics_;
  IndexServiceImpl service_;
  std::unique_ptr<GrpcServer> server_;
  httplib::Server http_;
  std::thread http_thread_;
  std::atomic<bool> drained_{false};
  int metrics_port_ = 0;
};

IndexServer::IndexServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IndexServer::~IndexServer() = default;

absl::StatusOr<std::unique_ptr<IndexServer>> IndexServer::Start(const IndexServerOptions& options) {
  if (options.api_key.empty() && !IsLoopback(options.listen)) {
    return FailedPrecondition(
        "listening on ", options.listen,
        ", which other machines can reach, needs a key: --key_file FILE (or listen on 127.0.0.1)");
  }
  RADLADS_RETURN_IF_ERROR(Catalog::Read(options.catalog).status());
  auto impl = std::make_unique<Impl>(options);
  RADLADS_RETURN_IF_ERROR(impl->Start(options));
  return std::unique_ptr<IndexServer>(new IndexServer(std::move(impl)));
}

int IndexServer::port() const {
  return impl_->port();
}
int IndexServer::metrics_port() const {
  return impl_->metrics_port();
}
void IndexServer::Drain() {
  impl_->Drain();
}

}  // namespace radlads
