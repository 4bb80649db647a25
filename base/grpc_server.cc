#include "base/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/support/server_interceptor.h>

#include <utility>
#include <vector>

#include "base/bound_port.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kMaxMessage = 2000;  // bytes; headers have 8 KiB

// gRPC itself answers bytes that are no message of the method with INTERNAL and not a word.
class NameBadMessages : public grpc::experimental::Interceptor {
 public:
  explicit NameBadMessages(const char* method) : method_(method) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      if (status.error_code() == grpc::INTERNAL && status.error_message().empty()) {
        methods->ModifySendStatus(
            {grpc::INVALID_ARGUMENT, Concatenate("the bytes that came are no request of ", method_)});
      }
    }
    methods->Proceed();
  }

 private:
  const std::string method_;
};

class MakeNameBadMessages : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new NameBadMessages(info->method());
  }
};

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  std::string message(status.message());
  if (message.size() > kMaxMessage) {
    size_t end = kMaxMessage;
    while (end > 0 && (message[end] & 0xC0) == 0x80) --end;
    message.resize(end);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::move(message));
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(grpc::ServerBuilder& builder, const GrpcLimits& limits,
                                                              const std::string& listen,
                                                              std::shared_ptr<grpc::ServerCredentials> credentials,
                                                              grpc::Service& service, const std::string& service_name) {
  // Says what is wrong with the address; gRPC would not.
  RADLADS_RETURN_IF_ERROR(TakeGrpcPort("the address of gRPC", listen).status());
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<GrpcServer> server(new GrpcServer);
  grpc::ResourceQuota quota(service_name);
  quota.SetMaxThreads(limits.threads);
  quota.Resize(limits.message_memory);
  builder.SetResourceQuota(quota);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<MakeNameBadMessages>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  builder.AddListeningPort(listen, std::move(credentials), &server->port_);
  builder.RegisterService(&service);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Clients may ask the same of the server while they wait.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Threads that wait for calls look up this often; shutting down can take so long.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 500);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || (server->port_ == 0 && !listen.starts_with("unix:"))) {
    return FailedPrecondition("cannot listen on ", listen, " for gRPC; the lines above say more");
  }
  server->server_->GetHealthCheckService()->SetServingStatus(service_name, true);
  return server;
}

GrpcServer::~GrpcServer() {
  if (server_ != nullptr && !shut_down_) Shutdown(std::chrono::system_clock::now());
}

void GrpcServer::ReportNotServing() {
  server_->GetHealthCheckService()->SetServingStatus(false);
}

void GrpcServer::Shutdown(std::chrono::system_clock::time_point end) {
  shut_down_ = true;
  server_->Shutdown(end);
  server_->Wait();
}

GrpcStreams::~GrpcStreams() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return streams_.empty(); });
}

absl::Status GrpcStreams::Add(GrpcStream* stream) {
  std::lock_guard lock(mutex_);
  if (draining_) return absl::UnavailableError("the server shuts down; ask another one, or later");
  if (streams_.size() >= most_) {
    return absl::ResourceExhaustedError(
        Concatenate("the server has ", most_, " such calls open, which is all it takes; ", advice_));
  }
  streams_.insert(stream);
  return absl::OkStatus();
}

void GrpcStreams::Remove(GrpcStream* stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
  changed_.notify_all();
}

size_t GrpcStreams::size() const {
  std::lock_guard lock(mutex_);
  return streams_.size();
}

void GrpcStreams::Drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  for (GrpcStream* stream : streams_) stream->Drain();
}

void GrpcStreams::Look() {
  std::lock_guard lock(mutex_);
  for (GrpcStream* stream : streams_) stream->Look();
}

}  // namespace radlads
