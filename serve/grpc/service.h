// The calls of text_service.proto. Private to the server.
#ifndef RADLADS_SERVE_GRPC_SERVICE_H_
#define RADLADS_SERVE_GRPC_SERVICE_H_

#include <prometheus/registry.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/grpc_server.h"
#include "serve/grpc/call_log.h"
#include "serve/grpc/grpc_text_server.h"
#include "serve/grpc/text_service.grpc.pb.h"
#include "serve/grpc/text_stream.h"
#include "serve/transport/access.h"
#include "serve/transport/request_work.h"
#include "serve/transport/served_model.h"

namespace radlads {

// Generate reacts to what comes; the others wait for the disk, each on a thread of gRPC's own. Thread-safe.
class TextServiceImpl final
    : public serve::v1::TextService::WithRawCallbackMethod_Generate<serve::v1::TextService::Service> {
 public:
  TextServiceImpl(std::vector<ServedModel> models, prometheus::Registry& metrics, const GrpcTextServerOptions& options);

  // Streams begin no more texts, and end; texts that go on at `end` end then.
  void Drain(std::chrono::steady_clock::time_point end);
  // To be called several times a second: ends what is due, and calls whose client holds them up.
  void Look();

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* context) override;
  grpc::Status ListModels(grpc::ServerContext* context, const serve::v1::ListModelsRequest* request,
                          serve::v1::ListModelsResponse* response) override;
  grpc::Status CreateSession(grpc::ServerContext* context, const serve::v1::CreateSessionRequest* request,
                             serve::v1::Session* response) override;
  grpc::Status GetSession(grpc::ServerContext* context, const serve::v1::GetSessionRequest* request,
                          serve::v1::Session* response) override;
  grpc::Status ListSessions(grpc::ServerContext* context, const serve::v1::ListSessionsRequest* request,
                            serve::v1::ListSessionsResponse* response) override;
  grpc::Status DeleteSession(grpc::ServerContext* context, const serve::v1::DeleteSessionRequest* request,
                             serve::v1::DeleteSessionResponse* response) override;
  grpc::Status ForkSession(grpc::ServerContext* context, const serve::v1::ForkSessionRequest* request,
                           serve::v1::Session* response) override;
  grpc::Status RewindSession(grpc::ServerContext* context, const serve::v1::RewindSessionRequest* request,
                             serve::v1::Session* response) override;
  grpc::Status ListSnapshots(grpc::ServerContext* context, const serve::v1::ListSnapshotsRequest* request,
                             serve::v1::ListSnapshotsResponse* response) override;
  grpc::Status ReadTokens(grpc::ServerContext* context, const serve::v1::ReadTokensRequest* request,
                          serve::v1::ReadTokensResponse* response) override;
  grpc::Status ExportSession(grpc::ServerContext* context, const serve::v1::ExportSessionRequest* request,
                             grpc::ServerWriter<serve::v1::ExportSessionResponse>* writer) override;
  grpc::Status ImportSession(grpc::ServerContext* context, grpc::ServerReader<serve::v1::ImportSessionRequest>* reader,
                             serve::v1::Session* response) override;

 private:
  // Checks the key, calls, and logs.
  grpc::Status Answer(const char* method, grpc::ServerContext& context, const std::function<absl::Status()>& call);
  // The same on a model.
  grpc::Status Answer(const char* method, grpc::ServerContext& context, const std::string& model,
                      const std::function<absl::Status(const ServedModel& model)>& call);
  absl::Status Import(grpc::ServerContext& context, grpc::ServerReader<serve::v1::ImportSessionRequest>& reader,
                      serve::v1::Session* response);

  const std::vector<ServedModel> models_;
  const GrpcTextServerOptions options_;
  const Access access_;
  CallLog log_;
  const std::unique_ptr<RequestWork> own_work_;
  RequestWork& work_;
  GrpcStreams streams_, transfers_;
  TextStreamContext shared_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_SERVICE_H_
