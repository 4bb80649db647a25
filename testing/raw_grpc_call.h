// gRPC calls without generated code.
#ifndef RADLADS_TESTING_RAW_GRPC_CALL_H_
#define RADLADS_TESTING_RAW_GRPC_CALL_H_

#include <grpcpp/support/status.h>

#include <string>

namespace radlads {

struct RawGrpcReply {
  std::string bytes;    // of the first response; empty where there is none
  grpc::Status status;  // CANCELLED after a response: nobody waits for more
};

// The bytes of one message for `method` ("/package.Service/Method") of the server at `address`, in plain text.
RawGrpcReply RawGrpcCall(const std::string& address, const std::string& method, const std::string& message);

// grpc.health.v1: whether `service`, or the server as a whole (""), is SERVING.
bool GrpcServes(const std::string& address, const std::string& service);
// grpc.reflection.v1alpha: the bytes of a response that has the names of all services in it.
std::string GrpcServices(const std::string& address);

}  // namespace radlads

#endif  // RADLADS_TESTING_RAW_GRPC_CALL_H_
