#include "serve/grpc/service.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serve/grpc/text_messages.h"
#include "serve/grpc/transfer.h"

namespace radlads {
namespace {

namespace wire = serve::v1;

constexpr size_t kTransfers = 16;
constexpr size_t kChunk = 256 << 10;
constexpr int64_t kMaxSessionsListed = 1000, kMaxTokensRead = 1 << 20;

absl::Status CheckLimit(int64_t limit, int64_t high) {
  if (limit >= 1 && limit <= high) return absl::OkStatus();
  return InvalidArgument("limit must be from 1 to ", high, ", found ", limit);
}

absl::Status Tell(const ServedModel& model, const absl::StatusOr<SessionInfo>& session, wire::Session* response) {
  if (session.ok()) *response = ToWire(model, *session);
  return session.status();
}

}  // namespace

TextServiceImpl::TextServiceImpl(std::vector<ServedModel> models, prometheus::Registry& metrics,
                                 const GrpcTextServerOptions& options)
    : models_(std::move(models)),
      options_(options),
      access_({.keys = options.keys}),
      log_(metrics),
      own_work_(options.work == nullptr ? std::make_unique<RequestWork>() : nullptr),
      work_(options.work == nullptr ? *own_work_ : *options.work),
      streams_(options.streams, "one stream takes many texts"),
      transfers_(kTransfers, "try again when one has ended"),
      shared_{.models = models_,
              .access = access_,
              .log = log_,
              .streams = streams_,
              .work = work_,
              .max_tokens = options.max_tokens,
              .write_time = options.write_time} {
  RADLADS_CHECK(!models_.empty());
}

void TextServiceImpl::Drain(std::chrono::steady_clock::time_point end) {
  shared_.drain_end = end;
  transfers_.Drain();
  streams_.Drain();
}

void TextServiceImpl::Look() {
  streams_.Look();
  transfers_.Look();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* TextServiceImpl::Generate(
    grpc::CallbackServerContext* context) {
  return TextStream::Open(shared_, *context);
}

grpc::Status TextServiceImpl::Answer(const char* method, grpc::ServerContext& context,
                                     const std::function<absl::Status()>& call) {
  const CallName name = CallName::Of(context, method);
  absl::Status status = CheckKey(access_, context);
  if (status.ok()) status = call();
  log_.Call(name, status, "");
  return ToGrpc(status);
}

grpc::Status TextServiceImpl::Answer(const char* method, grpc::ServerContext& context, const std::string& model,
                                     const std::function<absl::Status(const ServedModel& model)>& call) {
  return Answer(method, context, [&]() -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const ServedModel* found, FindModel(models_, model));
    return call(*found);
  });
}

grpc::Status TextServiceImpl::ListModels(grpc::ServerContext* context, const wire::ListModelsRequest*,
                                         wire::ListModelsResponse* response) {
  return Answer("ListModels", *context, [&] {
    for (const ServedModel& model : models_) *response->add_models() = ToWire(model);
    return absl::OkStatus();
  });
}

grpc::Status TextServiceImpl::CreateSession(grpc::ServerContext* context, const wire::CreateSessionRequest* request,
                                            wire::Session* response) {
  return Answer("CreateSession", *context, request->model(), [&](const ServedModel& model) -> absl::Status {
    if (request->ttl_seconds() < 0) {
      return InvalidArgument("ttl_seconds must be 0 (the server's own) or more, found ", request->ttl_seconds());
    }
    return Tell(model, model.service->CreateSession(request->id(), request->ttl_seconds()), response);
  });
}

grpc::Status TextServiceImpl::GetSession(grpc::ServerContext* context, const wire::GetSessionRequest* request,
                                         wire::Session* response) {
  return Answer("GetSession", *context, request->model(), [&](const ServedModel& model) {
    return Tell(model, model.service->GetSession(request->id()), response);
  });
}

grpc::Status TextServiceImpl::ListSessions(grpc::ServerContext* context, const wire::ListSessionsRequest* request,
                                           wire::ListSessionsResponse* response) {
  return Answer("ListSessions", *context, request->model(), [&](const ServedModel& model) -> absl::Status {
    const int64_t limit = request->limit();
    RADLADS_RETURN_IF_ERROR(CheckLimit(limit, kMaxSessionsListed));
    RADLADS_ASSIGN_OR_RETURN(const auto sessions, model.service->ListSessions(request->after(), limit + 1));
    const size_t listed = std::min<size_t>(sessions.size(), limit);
    for (size_t i = 0; i < listed; ++i) *response->add_sessions() = ToWire(model, sessions[i]);
    response->set_has_more(listed < sessions.size());
    return absl::OkStatus();
  });
}

grpc::Status TextServiceImpl::DeleteSession(grpc::ServerContext* context, const wire::DeleteSessionRequest* request,
                                            wire::DeleteSessionResponse*) {
  return Answer("DeleteSession", *context, request->model(),
                [&](const ServedModel& model) { return model.service->DeleteSession(request->id()); });
}

grpc::Status TextServiceImpl::ForkSession(grpc::ServerContext* context, const wire::ForkSessionRequest* request,
                                          wire::Session* response) {
  return Answer("ForkSession", *context, request->model(), [&](const ServedModel& model) {
    return Tell(model, model.service->ForkSession(request->id(), request->snapshot(), request->new_id()), response);
  });
}

grpc::Status TextServiceImpl::RewindSession(grpc::ServerContext* context, const wire::RewindSessionRequest* request,
                                            wire::Session* response) {
  return Answer("RewindSession", *context, request->model(), [&](const ServedModel& model) {
    return Tell(model, model.service->RewindSession(request->id(), request->snapshot()), response);
  });
}

grpc::Status TextServiceImpl::ListSnapshots(grpc::ServerContext* context, const wire::ListSnapshotsRequest* request,
                                            wire::ListSnapshotsResponse* response) {
  return Answer("ListSnapshots", *context, request->model(), [&](const ServedModel& model) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const auto snapshots, model.service->Snapshots(request->id()));
    for (const SnapshotInfo& snapshot : snapshots) *response->add_snapshots() = ToWire(snapshot);
    return absl::OkStatus();
  });
}

grpc::Status TextServiceImpl::ReadTokens(grpc::ServerContext* context, const wire::ReadTokensRequest* request,
                                         wire::ReadTokensResponse* response) {
  return Answer("ReadTokens", *context, request->model(), [&](const ServedModel& model) -> absl::Status {
    RADLADS_RETURN_IF_ERROR(CheckLimit(request->limit(), kMaxTokensRead));
    if (request->first() < 0) return InvalidArgument("first must be 0 or more, found ", request->first());
    RADLADS_ASSIGN_OR_RETURN(const auto ids, model.service->Tokens(request->id(), request->first()));
    const size_t read = std::min<size_t>(ids.size(), request->limit());
    for (size_t i = 0; i < read; ++i) {
      response->mutable_tokens()->add_ids(ids[i]);
      response->mutable_text()->append(model.tokenizer->BytesOf(static_cast<int32_t>(ids[i])).value_or(""));
    }
    response->set_has_more(read < ids.size());
    return absl::OkStatus();
  });
}

grpc::Status TextServiceImpl::ExportSession(grpc::ServerContext* context, const wire::ExportSessionRequest* request,
                                            grpc::ServerWriter<wire::ExportSessionResponse>* writer) {
  return Answer("ExportSession", *context, request->model(), [&](const ServedModel& model) -> absl::Status {
    Transfer transfer(*context, transfers_, options_.write_time);
    RADLADS_RETURN_IF_ERROR(transfer.status());
    RADLADS_ASSIGN_OR_RETURN(const std::string blob, model.service->ExportSession(request->id()));
    wire::ExportSessionResponse response;
    response.set_bytes(static_cast<int64_t>(blob.size()));
    for (size_t at = 0; at < blob.size(); at += kChunk) {
      response.set_chunk(blob.data() + at, std::min(kChunk, blob.size() - at));
      if (!transfer.Move([&] { return writer->Write(response); })) break;
      response.Clear();
    }
    return transfer.Ended();
  });
}

grpc::Status TextServiceImpl::ImportSession(grpc::ServerContext* context,
                                            grpc::ServerReader<wire::ImportSessionRequest>* reader,
                                            wire::Session* response) {
  return Answer("ImportSession", *context, [&] { return Import(*context, *reader, response); });
}

absl::Status TextServiceImpl::Import(grpc::ServerContext& context,
                                     grpc::ServerReader<wire::ImportSessionRequest>& reader, wire::Session* response) {
  Transfer transfer(context, transfers_, options_.request_time);
  RADLADS_RETURN_IF_ERROR(transfer.status());
  wire::ImportSessionRequest request;
  const auto read = [&] { return transfer.Move([&] { return reader.Read(&request); }); };
  if (!read()) {
    RADLADS_RETURN_IF_ERROR(transfer.Ended());
    return InvalidArgument("no session came; send its bytes as chunks");
  }
  RADLADS_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(models_, request.model()));
  const std::string id = request.id();
  std::string blob;
  do {
    if (blob.size() + request.chunk().size() > options_.max_message) {
      return absl::ResourceExhaustedError(
          Concatenate("the session has more than ", options_.max_message,
                      " bytes, which is all that this server takes; its --max_body_bytes says how many"));
    }
    blob += request.chunk();
  } while (read());
  RADLADS_RETURN_IF_ERROR(transfer.Ended());
  return Tell(*model, model->service->ImportSession(blob, id), response);
}

}  // namespace radlads
