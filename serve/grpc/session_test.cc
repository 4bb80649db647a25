// Calls beside texts: models, sessions, their states, who may ask, health.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "serve/grpc/testing.h"
#include "serve/testing/certificate.h"
#include "testing/raw_grpc_call.h"

namespace radlads {
namespace {

namespace wire = serve::v1;
using ::testing::HasSubstr;
using Calls = wire::TextService::Stub;

constexpr char kKey[] = "0123456789abcdef";

class SessionTest : public GrpcTextServerTest {
 protected:
  explicit SessionTest(const GrpcTextServerOptions& options = {}) : GrpcTextServerTest(options) {}

  // A session with 12 tokens and two snapshots.
  wire::Result MakeSession(const std::string& id) {
    wire::CreateSessionRequest request;
    request.set_id(id);
    wire::Session session;
    EXPECT_TRUE(Call(&Calls::CreateSession, request, &session).ok());
    EXPECT_EQ(session.id(), id);
    wire::GenerateRequest text = Begin(1);
    text.mutable_begin()->set_session(id);
    const wire::Result first = *Exchange({text}).at(1).result;
    Exchange({text});
    return first;
  }

  // -> the bytes, and the status.
  std::pair<std::string, grpc::Status> Export(const std::string& id) {
    grpc::ClientContext context;
    wire::ExportSessionRequest request;
    request.set_id(id);
    const auto stub = Stub();
    const auto reader = stub->ExportSession(&context, request);
    std::string blob;
    int64_t bytes = 0;
    for (wire::ExportSessionResponse response; reader->Read(&response);) {
      if (blob.empty()) bytes = response.bytes();
      blob += response.chunk();
    }
    EXPECT_EQ(bytes, blob.size());
    return {blob, reader->Finish()};
  }

  std::pair<wire::Session, grpc::Status> Import(const std::string& id, std::string_view blob, size_t chunk,
                                                const std::string& model = "") {
    grpc::ClientContext context;
    wire::Session session;
    const auto stub = Stub();
    const auto writer = stub->ImportSession(&context, &session);
    wire::ImportSessionRequest request;
    request.set_id(id);
    request.set_model(model);
    for (bool more = true; more && !blob.empty();) {
      request.set_chunk(std::string(blob.substr(0, chunk)));
      blob.remove_prefix(std::min(chunk, blob.size()));
      more = writer->Write(request);
      request.Clear();
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    return {session, status};
  }
};

TEST_F(SessionTest, ModelsAreListed) {
  wire::ListModelsResponse models;
  ASSERT_TRUE(Call(&Calls::ListModels, wire::ListModelsRequest(), &models).ok());
  EXPECT_EQ(models.ShortDebugString(), "models { name: \"fake\" vocabulary: 97 context: 0 state_grows: false }");
}

TEST_F(SessionTest, SessionsAreShownForkedRewoundAndDeleted) {
  const std::string first = MakeSession("mine").snapshot();
  wire::GetSessionRequest get;
  get.set_id("mine");
  wire::Session session;
  ASSERT_TRUE(Call(&Calls::GetSession, get, &session).ok());
  EXPECT_EQ(session.model(), "fake");
  EXPECT_EQ(session.tokens(), 12);
  EXPECT_EQ(session.state_bytes(), 4096);
  EXPECT_GT(session.created(), 1'600'000'000);
  EXPECT_FALSE(session.has_expires() || session.has_parent() || session.busy() || session.cut());

  wire::ListSnapshotsRequest of;
  of.set_id("mine");
  wire::ListSnapshotsResponse snapshots;
  ASSERT_TRUE(Call(&Calls::ListSnapshots, of, &snapshots).ok());
  ASSERT_EQ(snapshots.snapshots_size(), 2);
  EXPECT_EQ(snapshots.snapshots(0).id(), first);
  EXPECT_EQ(snapshots.snapshots(0).tokens(), 6);

  wire::ReadTokensRequest from;
  from.set_id("mine");
  from.set_first(1);
  from.set_limit(4);
  wire::ReadTokensResponse tokens;
  ASSERT_TRUE(Call(&Calls::ReadTokens, from, &tokens).ok());
  EXPECT_THAT(tokens.tokens().ids(), ::testing::ElementsAre(1, 40, 73, 1));
  EXPECT_EQ(tokens.text(), "!Hi!");
  EXPECT_TRUE(tokens.has_more());
  from.set_limit(1 << 20);
  ASSERT_TRUE(Call(&Calls::ReadTokens, from, &tokens).ok());
  EXPECT_EQ(tokens.tokens().ids_size(), 11);
  EXPECT_FALSE(tokens.has_more());
  from.set_first(-1);
  EXPECT_EQ(Call(&Calls::ReadTokens, from, &tokens).error_code(), grpc::INVALID_ARGUMENT);

  wire::ForkSessionRequest fork;
  fork.set_id("mine");
  fork.set_snapshot(first);
  fork.set_new_id("branch");
  ASSERT_TRUE(Call(&Calls::ForkSession, fork, &session).ok());
  EXPECT_EQ(session.tokens(), 6);
  EXPECT_EQ(session.parent(), "mine");
  EXPECT_EQ(Call(&Calls::ForkSession, fork, &session).error_code(), grpc::ALREADY_EXISTS);
  wire::RewindSessionRequest rewind;
  rewind.set_id("mine");
  rewind.set_snapshot(first);
  ASSERT_TRUE(Call(&Calls::RewindSession, rewind, &session).ok());
  EXPECT_EQ(session.tokens(), 6);
  rewind.set_snapshot("other");
  EXPECT_EQ(Call(&Calls::RewindSession, rewind, &session).error_code(), grpc::NOT_FOUND);

  wire::ListSessionsRequest list;
  list.set_limit(1);
  wire::ListSessionsResponse listed;
  ASSERT_TRUE(Call(&Calls::ListSessions, list, &listed).ok());
  ASSERT_EQ(listed.sessions_size(), 1);
  EXPECT_EQ(listed.sessions(0).id(), "branch");
  EXPECT_TRUE(listed.has_more());
  list.set_after("branch");
  ASSERT_TRUE(Call(&Calls::ListSessions, list, &listed).ok());
  EXPECT_EQ(listed.sessions(0).id(), "mine");
  EXPECT_FALSE(listed.has_more());
  list.set_limit(0);
  EXPECT_EQ(Call(&Calls::ListSessions, list, &listed).error_message(), "limit must be from 1 to 1000, found 0");

  wire::DeleteSessionRequest gone;
  gone.set_id("mine");
  wire::DeleteSessionResponse nothing;
  EXPECT_TRUE(Call(&Calls::DeleteSession, gone, &nothing).ok());
  EXPECT_EQ(Call(&Calls::DeleteSession, gone, &nothing).error_code(), grpc::NOT_FOUND);
}

TEST_F(SessionTest, WrongIdsAndModelsAreNamed) {
  wire::Session session;
  for (const std::string& id : {std::string("../../etc"), std::string("a\0b", 3), std::string("a.b"),
                                std::string(65, 'a'), std::string("\xc3\xa9")}) {
    wire::GetSessionRequest get;
    get.set_id(id);
    EXPECT_EQ(Call(&Calls::GetSession, get, &session).error_code(), grpc::INVALID_ARGUMENT) << id;
    wire::CreateSessionRequest create;
    create.set_id(id);
    EXPECT_EQ(Call(&Calls::CreateSession, create, &session).error_code(), grpc::INVALID_ARGUMENT) << id;
  }
  wire::CreateSessionRequest create;
  create.set_ttl_seconds(-1);
  EXPECT_EQ(Call(&Calls::CreateSession, create, &session).error_code(), grpc::INVALID_ARGUMENT);
  create.set_model("other");
  const grpc::Status status = Call(&Calls::CreateSession, create, &session);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "there is no model \"other\"; this server has fake");
}

TEST_F(SessionTest, AMessageThatIsNoneIsNamed) {
  for (const char* method :
       {"/radlads.serve.v1.TextService/CreateSession", "/radlads.serve.v1.TextService/ListModels"}) {
    const grpc::Status status = RawGrpcCall(Address(), method, "\xff\xff\xff").status;
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << method;
    EXPECT_THAT(status.error_message(), HasSubstr(std::string("no request of ") + method));
  }
}

TEST_F(SessionTest, AStateComesAndGoes) {
  MakeSession("mine");
  const auto [blob, status] = Export("mine");
  ASSERT_TRUE(status.ok()) << status.error_message();
  for (const size_t chunk : {size_t{1}, size_t{7}, blob.size()}) {
    const auto [session, imported] = Import(Concatenate("copy-", chunk), blob, chunk);
    ASSERT_TRUE(imported.ok()) << imported.error_message();
    EXPECT_EQ(session.id(), Concatenate("copy-", chunk));
    EXPECT_EQ(session.tokens(), 12);
    EXPECT_EQ(Export(session.id()).first, blob);
  }
  EXPECT_EQ(Import("copy-1", blob, 10).second.error_code(), grpc::ALREADY_EXISTS);
  EXPECT_EQ(Import("damaged", blob.substr(1), 10).second.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(Import("empty", "", 10).second.error_message(), HasSubstr("no session came"));
  EXPECT_EQ(Import("foreign", blob, 10, "other").second.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(Export("nobody").second.error_code(), grpc::NOT_FOUND);
  for (const char* id : {"damaged", "empty", "foreign"}) EXPECT_FALSE(service().GetSession(id).ok()) << id;
}

class LimitedTest : public SessionTest {
 protected:
  LimitedTest() : SessionTest({.max_message = 10'000, .request_time = std::chrono::milliseconds(300)}) {}
};

TEST_F(LimitedTest, WhatIsTooLargeIsRefused) {
  const grpc::Status session = Import("large", std::string(20'000, ' '), 1000).second;
  EXPECT_EQ(session.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(session.error_message(), HasSubstr("more than 10000 bytes"));
  EXPECT_EQ(Import("large", std::string(20'000, ' '), 20'000).second.error_code(), grpc::RESOURCE_EXHAUSTED);
  wire::GenerateRequest text = Begin(1);
  text.mutable_begin()->set_text(std::string(20'000, '!'));
  Exchange({text}, grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Exchange({Begin(1)}).at(1).text, "Hi!");
}

TEST_F(LimitedTest, AClientThatKeepsAnImportWaitingIsGivenUp) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientWriter<wire::ImportSessionRequest>>> writers;
  const auto stub = Stub();
  wire::Session session;
  wire::ImportSessionRequest request;
  request.set_chunk("[1, ");
  for (int i = 0; i < 17; ++i) {  // one more than the server takes
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    writers.push_back(stub->ImportSession(contexts.back().get(), &session));
    writers.back()->Write(request);
  }
  int given_up = 0;
  for (auto& writer : writers) {
    const grpc::Status status = writer->Finish();
    given_up += status.error_code() == grpc::CANCELLED;
    if (status.error_code() == grpc::CANCELLED) continue;
    EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(), HasSubstr("16 such calls open"));
  }
  EXPECT_EQ(given_up, 16);
  // A client may hear of its end before the server has counted it.
  grpc::Status status;
  for (int i = 0; i < 500 && !(status = Import("one", "[1]", 10).second).ok(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
}

class KeysTest : public SessionTest {
 protected:
  KeysTest() : SessionTest({.keys = {kKey, "fedcba9876543210"}}) {}
};

TEST_F(KeysTest, OnlyKeysMayAsk) {
  wire::ListModelsResponse models;
  EXPECT_EQ(Call(&Calls::ListModels, wire::ListModelsRequest(), &models).error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(Call(&Calls::ListModels, wire::ListModelsRequest(), &models, "0123456789abcdeg").error_code(),
            grpc::UNAUTHENTICATED);
  EXPECT_TRUE(Call(&Calls::ListModels, wire::ListModelsRequest(), &models, kKey).ok());
  EXPECT_EQ(Export("mine").second.error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(Import("mine", "[1]", 10).second.error_code(), grpc::UNAUTHENTICATED);
  Exchange({Begin(1)}, grpc::UNAUTHENTICATED);
  EXPECT_FALSE(service().GetSession("mine").ok());
  EXPECT_EQ(service().finished().size(), 0u);
}

TEST_F(SessionTest, CallsHaveIdsAndAreCounted) {
  const auto stub = Stub();
  for (const char* id : {"mine-1", "not a word"}) {
    grpc::ClientContext context;
    context.AddMetadata("x-request-id", id);
    wire::ListModelsResponse models;
    ASSERT_TRUE(stub->ListModels(&context, {}, &models).ok());
    const auto found = context.GetServerInitialMetadata().find("x-request-id");
    ASSERT_NE(found, context.GetServerInitialMetadata().end());
    const std::string told(found->second.data(), found->second.size());
    if (std::string(id) == "mine-1") {
      EXPECT_EQ(told, "mine-1");
    } else {
      EXPECT_THAT(told, ::testing::StartsWith("req-"));
    }
  }
  Exchange({Begin(1), Begin(2)});
  server_->Drain();
  const std::string metrics = Metrics();
  for (const char* line :
       {"radlads_grpc_requests_total{code=\"0\",method=\"ListModels\"} 2",
        "radlads_grpc_requests_total{code=\"0\",method=\"Generate\"} 2", "radlads_grpc_streams_total{code=\"0\"} 1",
        "radlads_grpc_streams 0", "radlads_grpc_tokens_total{kind=\"reply\",model=\"fake\"} 8",
        "radlads_grpc_first_token_seconds_count 2"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST_F(KeysTest, TellsItsHealthAndItsMethodsToEverybody) {
  EXPECT_TRUE(GrpcServes(Address(), wire::TextService::service_full_name()));
  EXPECT_THAT(GrpcServices(Address()), HasSubstr("radlads.serve.v1.TextService"));
}

TEST_F(SessionTest, APortIsTakenOnce) {
  prometheus::Registry metrics;
  const auto other = GrpcTextServer::Start({{.name = "fake", .service = &service()}}, metrics, {.listen = Address()});
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status())) << other.status();
}

TEST_F(SessionTest, Tls) {
  const std::string key = ::testing::TempDir() + "/key.pem", certificate = ::testing::TempDir() + "/cert.pem";
  WriteCertificate(certificate, key);
  prometheus::Registry metrics;
  const std::vector<ServedModel>& models = models_.served();
  const auto wrong = GrpcTextServer::Start(models, metrics, {.tls_certificate = key, .tls_key = key});
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.status())) << wrong.status();
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("the certificate cannot be used"));
  const auto server = GrpcTextServer::Start(models, metrics, {.tls_certificate = certificate, .tls_key = key});
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = Concatenate("localhost:", (*server)->port());
  for (const bool tls : {false, true}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    const auto channel =
        tls ? grpc::SslCredentials({.pem_root_certs = *ReadFile(certificate)}) : grpc::InsecureChannelCredentials();
    wire::ListModelsResponse response;
    const grpc::Status status =
        wire::TextService::NewStub(grpc::CreateChannel(address, channel))->ListModels(&context, {}, &response);
    EXPECT_EQ(status.ok(), tls) << status.error_message();
  }
}

}  // namespace
}  // namespace radlads
