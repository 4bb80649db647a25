#include "eval/service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "eval/service/service.h"

namespace radlads {
namespace {

constexpr auto kDrainTime = std::chrono::seconds(30);
constexpr int kMostMessageBytes = 16 << 20;

}  // namespace

class EvalServer::Impl {
 public:
  Impl(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer, const ScorerLimits& limits,
       prometheus::Registry& metrics, const EvalServerOptions& options)
      : service_(queue, std::move(tokenizer), limits, options.model_name, metrics) {}

  absl::Status Start(const std::string& listen) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(kMostMessageBytes);
    // A client whose machine vanished is noticed, and its work dropped.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    // Clients may ask the same of the server while they wait.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (port_ == 0 && !listen.starts_with("unix:"))) {
      return absl::UnavailableError("cannot listen on " + listen +
                                    " for gRPC; is the port taken, or the address not this machine's?");
    }
    server_->GetHealthCheckService()->SetServingStatus(eval::v1::EvalService::service_full_name(), true);
    return absl::OkStatus();
  }

  ~Impl() { Drain(); }

  void Drain() {
    if (server_ == nullptr || drained_.exchange(true)) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    service_.DrainStreams();
    server_->Shutdown(std::chrono::system_clock::now() + kDrainTime);
    server_->Wait();
  }

  int port() const { return port_; }

 private:
  EvalServiceImpl service_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> drained_ = false;
  int port_ = 0;
};

EvalServer::EvalServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EvalServer::~EvalServer() = default;

absl::StatusOr<std::unique_ptr<EvalServer>> EvalServer::Start(ModelQueue& queue,
                                                              std::shared_ptr<const Tokenizer> tokenizer,
                                                              prometheus::Registry& metrics,
                                                              const EvalServerOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(const ScorerLimits limits, LimitsOf(*queue.Caller(), *tokenizer));
  auto impl = std::make_unique<Impl>(queue, std::move(tokenizer), limits, metrics, options);
  RADLADS_RETURN_IF_ERROR(impl->Start(options.listen));
  return std::unique_ptr<EvalServer>(new EvalServer(std::move(impl)));
}

int EvalServer::port() const {
  return impl_->port();
}
void EvalServer::Drain() {
  impl_->Drain();
}

}  // namespace radlads
