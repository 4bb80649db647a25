#include "serve/grpc/testing.h"

#include <prometheus/text_serializer.h>

#include <thread>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

namespace wire = serve::v1;

}  // namespace

GrpcTextServerTest::GrpcTextServerTest(const GrpcTextServerOptions& options, const FakeOptions& fake,
                                       const std::vector<std::string>& names)
    : models_(fake, names) {
  auto server = GrpcTextServer::Start(models_.served(), metrics_, options);
  RADLADS_CHECK(server.ok()) << server.status();
  server_ = *std::move(server);
}

GrpcTextServerTest::~GrpcTextServerTest() = default;

std::string GrpcTextServerTest::Address() const {
  return Concatenate("127.0.0.1:", server_->port());
}

std::unique_ptr<wire::TextService::Stub> GrpcTextServerTest::Stub() const {
  return wire::TextService::NewStub(grpc::CreateChannel(Address(), grpc::InsecureChannelCredentials()));
}

wire::GenerateRequest GrpcTextServerTest::Begin(uint64_t id) {
  wire::GenerateRequest request;
  request.set_id(id);
  request.mutable_begin()->set_text("!!");
  return request;
}

wire::GenerateRequest GrpcTextServerTest::Endless(uint64_t id) {
  wire::GenerateRequest request = Begin(id);
  request.mutable_begin()->set_max_tokens(1 << 30);
  return request;
}

wire::GenerateRequest GrpcTextServerTest::Cancel(uint64_t id) {
  wire::GenerateRequest request;
  request.set_id(id);
  request.mutable_cancel();
  return request;
}

std::map<uint64_t, GrpcTextServerTest::Said> GrpcTextServerTest::Read(Stream& stream, size_t count) {
  std::map<uint64_t, Said> said;
  size_t results = 0;
  for (wire::GenerateResponse response; results < count && stream.Read(&response);) {
    Said& text = said[response.id()];
    EXPECT_FALSE(text.result) << "after the result: " << response.ShortDebugString();
    ++text.responses;
    text.text += response.piece().text();
    for (const wire::Token& token : response.piece().tokens()) text.tokens.push_back(token);
    if (response.has_result()) {
      text.result = response.result();
      ++results;
    }
  }
  return said;
}

std::map<uint64_t, GrpcTextServerTest::Said> GrpcTextServerTest::Exchange(
    const std::vector<wire::GenerateRequest>& requests, grpc::StatusCode want) {
  grpc::ClientContext context;
  const auto stub = Stub();
  const auto stream = stub->Generate(&context);
  std::thread writer([&] {
    for (const wire::GenerateRequest& request : requests) stream->Write(request);
    stream->WritesDone();
  });
  auto said = Read(*stream, SIZE_MAX);
  writer.join();
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), want) << status.error_message();
  return said;
}

std::string GrpcTextServerTest::Metrics() const {
  return prometheus::TextSerializer().Serialize(metrics_.Collect());
}

}  // namespace radlads
