#include "serve/grpc/grpc_text_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/server_credentials.h>

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/grpc_server.h"
#include "base/status.h"
#include "serve/grpc/service.h"
#include "serve/transport/tls_context.h"

namespace radlads {
namespace {

constexpr int kMaxThreads = 128;  // of calls other than Generate
constexpr auto kLook = std::chrono::milliseconds(50);
// After the time to drain: for texts to end with their next token, and clients to take what waits.
constexpr auto kGrace = std::chrono::seconds(10);

size_t MessageMemory(const GrpcTextServerOptions& options) {
  return std::max<size_t>(4 * options.max_message, 64 << 20);
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const GrpcTextServerOptions& options) {
  if (options.tls_key.empty()) return grpc::InsecureServerCredentials();
  // Says what is wrong with them; gRPC would not.
  RADLADS_RETURN_IF_ERROR(TlsContext(options.tls_certificate, options.tls_key).status());
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  RADLADS_ASSIGN_OR_RETURN(pair.private_key, ReadFile(options.tls_key));
  RADLADS_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile(options.tls_certificate));
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  ssl.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(ssl);
}

}  // namespace

class GrpcTextServer::Impl {
 public:
  Impl(std::vector<ServedModel> models, prometheus::Registry& metrics, const GrpcTextServerOptions& options)
      : options_(options), service_(std::move(models), metrics, options) {}

  absl::Status Start() {
    RADLADS_ASSIGN_OR_RETURN(auto credentials, Credentials(options_));
    grpc::ServerBuilder builder;
    constexpr size_t kMost = std::numeric_limits<int>::max();
    builder.SetMaxReceiveMessageSize(static_cast<int>(std::min(options_.max_message, kMost)));
    // Of a connection; what is more waits at the client.
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               static_cast<int>(std::min(options_.streams + kMaxThreads, kMost)));
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, static_cast<int>(options_.request_time.count()));
    RADLADS_ASSIGN_OR_RETURN(
        server_, GrpcServer::Start(builder, {kMaxThreads, MessageMemory(options_)}, options_.listen,
                                   std::move(credentials), service_, serve::v1::TextService::service_full_name()));
    looking_ = std::thread([this] { Look(); });
    return absl::OkStatus();
  }

  ~Impl() {
    if (server_ == nullptr) return;
    Drain();
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    looking_.join();
  }

  void Drain() {
    if (std::exchange(drained_, true)) return;
    server_->ReportNotServing();
    service_.Drain(std::chrono::steady_clock::now() + options_.drain_time);
    server_->Shutdown(std::chrono::system_clock::now() + options_.drain_time + kGrace);
  }

  int port() const { return server_->port(); }

 private:
  void Look() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, kLook, [&] { return over_; })) service_.Look();
  }

  const GrpcTextServerOptions options_;
  TextServiceImpl service_;
  std::unique_ptr<GrpcServer> server_;
  bool drained_ = false;
  std::thread looking_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
};

GrpcTextServer::GrpcTextServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcTextServer::~GrpcTextServer() = default;

absl::StatusOr<std::unique_ptr<GrpcTextServer>> GrpcTextServer::Start(std::vector<ServedModel> models,
                                                                      prometheus::Registry& metrics,
                                                                      const GrpcTextServerOptions& options) {
  auto impl = std::make_unique<Impl>(std::move(models), metrics, options);
  RADLADS_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<GrpcTextServer>(new GrpcTextServer(std::move(impl)));
}

int GrpcTextServer::port() const {
  return impl_->port();
}
void GrpcTextServer::Drain() {
  impl_->Drain();
}

}  // namespace radlads
