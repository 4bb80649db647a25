#include "testing/raw_grpc_call.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <vector>

namespace radlads {

RawGrpcReply RawGrpcCall(const std::string& address, const std::string& method, const std::string& message) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  void* tag;
  bool ok;
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(message);
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  queue.Next(&tag, &ok);
  RawGrpcReply reply;
  std::vector<grpc::Slice> slices;
  if (ok && response.Dump(&slices).ok()) context.TryCancel();
  for (const grpc::Slice& part : slices) reply.bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  call->Finish(&reply.status, nullptr);
  queue.Next(&tag, &ok);
  return reply;
}

bool GrpcServes(const std::string& address, const std::string& service) {
  // HealthCheckRequest{service}; HealthCheckResponse{status: SERVING}.
  const std::string request = std::string("\x0a") + static_cast<char>(service.size()) + service;
  return RawGrpcCall(address, "/grpc.health.v1.Health/Check", request).bytes == "\x08\x01";
}

std::string GrpcServices(const std::string& address) {
  // ServerReflectionRequest{list_services: ""}.
  return RawGrpcCall(address, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                     std::string("\x3a\x00", 2))
      .bytes;
}

}  // namespace radlads
