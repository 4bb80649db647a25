// A server with a fake model and a client of it, for the tests of this folder.
#ifndef RADLADS_SERVE_GRPC_TESTING_H_
#define RADLADS_SERVE_GRPC_TESTING_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/grpc/grpc_text_server.h"
#include "serve/grpc/text_service.grpc.pb.h"
#include "serve/testing/fake_models.h"

namespace radlads {

class GrpcTextServerTest : public ::testing::Test {
 protected:
  using Stream = grpc::ClientReaderWriter<serve::v1::GenerateRequest, serve::v1::GenerateResponse>;

  // `names`: of models, each with a service of its own. The texts of all say "Hi!" and end, unless `fake` says
  // otherwise.
  explicit GrpcTextServerTest(const GrpcTextServerOptions& options = {},
                              const FakeOptions& fake = {.reply = {40, 73, 1, 0}},
                              const std::vector<std::string>& names = {"fake"});
  ~GrpcTextServerTest() override;

  FakeTextService& service(size_t i = 0) { return models_.service(i); }
  std::string Address() const;
  std::unique_ptr<serve::v1::TextService::Stub> Stub() const;
  // A call without a stream.
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (serve::v1::TextService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                         Response*),
                    const Request& request, Response* response, const std::string& key = "") {
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    return (Stub().get()->*method)(&context, request, response);
  }

  // Begins a text that reads "!!".
  static serve::v1::GenerateRequest Begin(uint64_t id);
  // One that goes on for longer than anybody waits.
  static serve::v1::GenerateRequest Endless(uint64_t id);
  static serve::v1::GenerateRequest Cancel(uint64_t id);

  struct Said {
    std::string text;
    std::vector<serve::v1::Token> tokens;
    int64_t responses = 0;
    std::optional<serve::v1::Result> result;
  };
  // Sends `requests`, closes, and reads to the end, which must be `want`: what each text said, by id.
  std::map<uint64_t, Said> Exchange(const std::vector<serve::v1::GenerateRequest>& requests,
                                    grpc::StatusCode want = grpc::OK);
  // Reads until the result of `count` texts is there, or the stream ends.
  static std::map<uint64_t, Said> Read(Stream& stream, size_t count);

  // Waits until as many texts go on; fails after 5 s.
  void WaitForRunning(int64_t count) { models_.WaitForRunning(count); }
  std::string Metrics() const;

  prometheus::Registry metrics_;
  FakeModels models_;
  std::unique_ptr<GrpcTextServer> server_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_TESTING_H_
