// gRPC calls without generated code.
#ifndef RADLADS_TESTING_RAW_GRPC_CALL_H_
#define RADLADS_TESTING_RAW_GRPC_CALL_H_

#include <string>

namespace radlads {

// One message each way of `method` ("/package.Service/Method") of the server at `address`, in plain text. -> the bytes
// of the response, or "no response".
std::string RawGrpcCall(const std::string& address, const std::string& method, const std::string& message);

// grpc.health.v1: whether `service` is SERVING.
bool GrpcServes(const std::string& address, const std::string& service);
// grpc.reflection.v1alpha: the bytes of a response that has the names of all services in it.
std::string GrpcServices(const std::string& address);

}  // namespace radlads

#endif  // RADLADS_TESTING_RAW_GRPC_CALL_H_
