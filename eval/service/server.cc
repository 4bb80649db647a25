#include "eval/service/server.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/grpc_server.h"
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
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMostMessageBytes);
    RADLADS_ASSIGN_OR_RETURN(
        server_, GrpcServer::Start(builder, /*limits=*/{}, listen, grpc::InsecureServerCredentials(), service_,
                                   eval::v1::EvalService::service_full_name()));
    return absl::OkStatus();
  }

  ~Impl() { Drain(); }

  void Drain() {
    if (server_ == nullptr || drained_.exchange(true)) return;
    server_->ReportNotServing();
    service_.DrainStreams();
    server_->Shutdown(std::chrono::system_clock::now() + kDrainTime);
  }

  int port() const { return server_->port(); }

 private:
  EvalServiceImpl service_;
  std::unique_ptr<GrpcServer> server_;
  std::atomic<bool> drained_ = false;
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
