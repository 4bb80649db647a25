#include "serve/grpc/testing.h"

#include <prometheus/text_serializer.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"

namespace radlads {
namespace {

namespace wire = serve::v1;

constexpr char kTemplate[] =
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

}  // namespace

GrpcTextServerTest::GrpcTextServerTest(const GrpcTextServerOptions& options, FakeOptions fake,
                                       std::vector<std::string> names)
    : tokenizer_(SmallTokenizer(kTemplate)) {
  std::vector<ServedModel> models;
  for (const std::string& name : names) {
    services_.push_back(std::make_unique<FakeTextService>(tokenizer_, fake));
    models.push_back({.name = name, .service = services_.back().get(), .tokenizer = tokenizer_});
  }
  auto server = GrpcTextServer::Start(std::move(models), metrics_, options);
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

void GrpcTextServerTest::WaitForRunning(int64_t count) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int64_t running = 0;
  while (std::chrono::steady_clock::now() < limit) {
    running = 0;
    for (const auto& service : services_) running += service->running();
    if (running == count) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << running << " texts go on, expected " << count;
}

std::string GrpcTextServerTest::Metrics() const {
  return prometheus::TextSerializer().Serialize(metrics_.Collect());
}

}  // namespace radlads
