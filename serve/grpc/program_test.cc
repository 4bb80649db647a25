// The program //serve:server over both transports: one store of sessions, one engine, one end.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "serve/grpc/text_service.grpc.pb.h"
#include "serve/testing/small_served_model.h"
#include "testing/server_program.h"

namespace radlads {
namespace {

namespace wire = serve::v1;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class ProgramTest : public ::testing::Test {
 protected:
  static std::string Directory() { return ::testing::TempDir() + "/program"; }
  static void SetUpTestSuite() { WriteSmallServedModel(Directory() + "/model"); }
  static std::vector<std::string> Arguments(std::vector<std::string> more) {
    more.insert(more.end(), {"--model", Directory() + "/model", "--store", Directory() + "/store", "--listen",
                             "127.0.0.1:0", "--threads", "1"});
    return more;
  }

  void Start() {
    std::filesystem::remove_all(Directory() + "/store");
    server_ = std::make_unique<ServerProgram>("serve/server",
                                              Arguments({"--grpc_listen", "127.0.0.1:0", "--drain_seconds", "1"}));
    http_port_ = server_->Port();  // is said last
    ASSERT_NE(http_port_, 0) << server_->Log();
    const std::string log = server_->Log();
    constexpr std::string_view kBefore = "gRPC on 127.0.0.1:0, port ";
    const size_t found = log.find(kBefore);
    ASSERT_NE(found, log.npos) << log;
    stub_ = wire::TextService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(std::stoi(log.substr(found + kBefore.size()))),
                            grpc::InsecureChannelCredentials()));
  }

  Json Post(const std::string& path, const Json& body) {
    httplib::Client client("127.0.0.1", http_port_);
    client.set_read_timeout(60);
    const auto reply = client.Post(path, body.dump(), "application/json");
    EXPECT_TRUE(reply) << httplib::to_string(reply.error());
    if (!reply) return {};
    EXPECT_EQ(reply->status, 200) << reply->body;
    return Json::parse(reply->body);
  }
  void SayOverHttp(const std::string& session, const std::string& content) {
    Post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", content}}}},
                                  {"session_id", session},
                                  {"temperature", 0},
                                  {"max_tokens", 12}});
  }
  // -> the session, and the ids that were streamed.
  std::pair<std::string, std::vector<int64_t>> SayOverGrpc(const std::string& session, const std::string& content) {
    grpc::ClientContext context;
    const auto stream = stub_->Generate(&context);
    wire::GenerateRequest request;
    wire::Text& text = *request.mutable_begin();
    text.set_session(session);
    text.mutable_sampling()->set_temperature(0);
    text.set_max_tokens(12);
    wire::Message& message = *text.mutable_chat()->add_messages();
    message.set_role("user");
    message.set_content(content);
    stream->Write(request);
    stream->WritesDone();
    std::string where;
    std::vector<int64_t> ids;
    for (wire::GenerateResponse response; stream->Read(&response);) {
      for (const wire::Token& token : response.piece().tokens()) ids.push_back(token.id());
      if (response.has_result()) where = response.result().session();
      EXPECT_FALSE(response.result().has_error()) << response.ShortDebugString();
    }
    EXPECT_TRUE(stream->Finish().ok());
    return {where, ids};
  }
  std::vector<int64_t> Tokens(const std::string& session) {
    grpc::ClientContext context;
    wire::ReadTokensRequest request;
    request.set_id(session);
    wire::ReadTokensResponse response;
    EXPECT_TRUE(stub_->ReadTokens(&context, request, &response).ok());
    return {response.tokens().ids().begin(), response.tokens().ids().end()};
  }

  std::unique_ptr<ServerProgram> server_;
  int http_port_ = 0;
  std::unique_ptr<wire::TextService::Stub> stub_;
};

TEST_F(ProgramTest, ASessionGoesOnOverEitherTransport) {
  Start();
  for (const char* id : {"http", "mixed"}) Post("/v1/sessions", {{"id", id}});
  SayOverHttp("http", "hello");
  SayOverHttp("http", "more");
  SayOverHttp("mixed", "hello");
  const auto [session, ids] = SayOverGrpc("mixed", "more");
  EXPECT_EQ(session, "mixed");
  const std::vector<int64_t> want = Tokens("http"), got = Tokens("mixed");
  EXPECT_EQ(got, want);
  ASSERT_GE(got.size(), ids.size());
  EXPECT_FALSE(ids.empty());
  EXPECT_EQ(std::vector<int64_t>(got.end() - static_cast<ptrdiff_t>(ids.size()), got.end()), ids);
  SayOverHttp("http", "again");
  SayOverHttp("mixed", "again");
  EXPECT_EQ(Tokens("mixed"), Tokens("http"));
}

TEST_F(ProgramTest, AStateMovesBetweenTransports) {
  Start();
  Post("/v1/sessions", {{"id", "one"}});
  SayOverHttp("one", "hello");
  httplib::Client client("127.0.0.1", http_port_);
  const auto blob = client.Get("/v1/sessions/one/export");
  ASSERT_TRUE(blob);
  {
    grpc::ClientContext context;
    wire::Session session;
    const auto writer = stub_->ImportSession(&context, &session);
    wire::ImportSessionRequest request;
    request.set_id("two");
    for (size_t at = 0; at < blob->body.size(); at += 1000) {
      request.set_chunk(blob->body.substr(at, 1000));
      ASSERT_TRUE(writer->Write(request));
      request.Clear();
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_GT(session.tokens(), 0);
  }
  const auto one = SayOverGrpc("one", "more").second;
  EXPECT_EQ(SayOverGrpc("two", "more").second, one);
  grpc::ClientContext context;
  wire::ExportSessionRequest request;
  request.set_id("two");
  const auto reader = stub_->ExportSession(&context, request);
  std::string bytes;
  for (wire::ExportSessionResponse response; reader->Read(&response);) bytes += response.chunk();
  EXPECT_TRUE(reader->Finish().ok());
  // The text is the same; states are the same bits, whichever way they came.
  EXPECT_EQ(bytes, client.Get("/v1/sessions/one/export")->body);
}

TEST_F(ProgramTest, SigtermEndsStreamsProperly) {
  Start();
  grpc::ClientContext context;
  const auto stream = stub_->Generate(&context);
  wire::GenerateRequest request;
  request.mutable_begin()->set_text("hello");
  request.mutable_begin()->set_keep(true);
  request.mutable_begin()->set_max_tokens(1 << 30);
  (*request.mutable_begin()->mutable_sampling()->mutable_logit_bias())[0] = -100;
  stream->Write(request);
  wire::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  server_->Signal(SIGTERM);
  int64_t tokens = response.piece().tokens_size();
  while (stream->Read(&response)) tokens += response.piece().tokens_size();
  EXPECT_EQ(response.result().error().code(), grpc::UNAVAILABLE) << response.ShortDebugString();
  EXPECT_EQ(response.result().reply_tokens(), tokens);
  EXPECT_FALSE(response.result().session().empty());
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(server_->ExitCode(), 0) << server_->Log();
  EXPECT_THAT(server_->Log(), HasSubstr("all sessions are stored"));
}

TEST_F(ProgramTest, WhatIsWrongIsNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--grpc_listen", "0.0.0.0:0"}, "give it --key_file, or --no_keys"},
      {{"--grpc_listen", "127.example.com:0"}, "give it --key_file, or --no_keys"},
      {{"--grpc_listen", "somewhere"}, "--grpc_listen must be HOST:PORT"}};
  for (const auto& [arguments, words] : cases) {
    ServerProgram server("serve/server", Arguments(arguments));
    EXPECT_NE(server.ExitCode(), 0) << words;
    EXPECT_THAT(server.Log(), HasSubstr(words));
  }
}

}  // namespace
}  // namespace radlads
