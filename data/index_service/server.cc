#include "data/index_service/server.h"

#include <grpcpp/grpcpp.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/bound_port.h"
#include "base/grpc_server.h"
#include "base/loopback.h"
#include "base/status.h"
#include "data/catalog/catalog.h"
#include "data/index_service/service.h"

namespace radlads {
namespace {

constexpr int kMaxThreads = 256;
constexpr auto kDrainTime = std::chrono::seconds(2);

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const auto parsed = ParseListenAddress("", address);
  return parsed.ok() && IsLoopbackHost(parsed->host);
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
    RADLADS_ASSIGN_OR_RETURN(const ListenAddress parsed, ParseListenAddress("--metrics_listen", address));
    // Says what is wrong with the address; the library would not.
    RADLADS_RETURN_IF_ERROR(BoundPort::Take(parsed).status());
    // Before a body is read, of whatever size it may become; what is left of it goes with the connection.
    http_.set_keep_alive_max_count(1);
    http_.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      using Outcome = httplib::Server::HandlerResponse;
      const bool here = request.path == "/metrics";
      if (here && (request.method == "GET" || request.method == "HEAD")) return Outcome::Unhandled;
      response.status = here ? 405 : 404;
      if (here) response.set_header("Allow", "GET, HEAD");
      response.set_content(here ? "/metrics has GET and HEAD\n" : "there is only /metrics\n", "text/plain");
      return Outcome::Handled;
    });
    http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics_.Text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    if (parsed.port == 0) {
      metrics_port_ = http_.bind_to_any_port(parsed.host);
    } else if (http_.bind_to_port(parsed.host, parsed.port)) {
      metrics_port_ = parsed.port;
    }
    if (metrics_port_ <= 0) return FailedPrecondition("cannot listen on ", address, " for metrics");
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
