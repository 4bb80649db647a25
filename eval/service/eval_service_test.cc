#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <map>
#include <thread>

#include "base/status.h"
#include "eval/scorer.h"
#include "eval/served_model.h"
#include "eval/service/eval_service.grpc.pb.h"
#include "eval/service/server.h"
#include "eval/testing.h"
#include "testing/raw_grpc_call.h"

namespace radlads {
namespace {

namespace wire = eval::v1;
using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

wire::Text Tokens(const Ids& ids) {
  wire::Text text;
  text.mutable_tokens()->mutable_ids()->Add(ids.begin(), ids.end());
  return text;
}
wire::Text String(const std::string& string) {
  wire::Text text;
  text.set_text(string);
  return text;
}

std::unique_ptr<wire::EvalService::Stub> StubOf(int port) {
  return wire::EvalService::NewStub(
      grpc::CreateChannel(Concatenate("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
}

wire::GenerateUntilRequest Endless(int64_t id) {
  wire::GenerateUntilRequest request;
  request.set_id(id);
  *request.mutable_prompt() = Tokens({5, 6});
  request.set_max_new_tokens(1'000'000'000);
  return request;
}

class EvalServiceTest : public ::testing::Test {
 protected:
  EvalServiceTest() {
    auto server = EvalServer::Start(served_.queue(), tokenizer_, served_.metrics(), {.model_name = "small"});
    RADLADS_CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = StubOf(server_->port());
  }

  // The same model, for itself.
  std::unique_ptr<Scorer> Local() { return *MakeScorer(served_.Alone(), *tokenizer_); }

  // Sends all of `requests`, reads all responses, by id.
  template <typename Request, typename Response>
  std::map<int64_t, Response> Exchange(grpc::ClientReaderWriter<Request, Response>& stream,
                                       const std::vector<Request>& requests) {
    std::thread writer([&] {
      for (const Request& request : requests) stream.Write(request);
      stream.WritesDone();
    });
    std::map<int64_t, Response> responses;
    for (Response response; stream.Read(&response);) {
      EXPECT_TRUE(responses.emplace(response.id(), response).second) << "two responses for " << response.id();
    }
    writer.join();
    const grpc::Status status = stream.Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(responses.size(), requests.size());
    return responses;
  }

  void WaitUntil(const std::string& state, double want) {
    WaitForMetric(served_.metrics(), "radlads_eval_model_requests", state, want);
  }
  double Requests(const std::string& result) {
    return MetricValue(served_.metrics(), "radlads_eval_model_requests_total", result);
  }

  ServedModel served_{{.batch_tokens = 256, .max_length = 1 << 30}};
  std::shared_ptr<const Tokenizer> tokenizer_ = SmallTokenizer();
  std::unique_ptr<EvalServer> server_;
  std::unique_ptr<wire::EvalService::Stub> stub_;
};

TEST_F(EvalServiceTest, LoglikelihoodIsTheScorers) {
  std::vector<wire::LoglikelihoodRequest> requests;
  std::vector<LoglikelihoodRequest> local;
  for (int64_t i = 0; i < 3000; ++i) {  // more than are taken at a time
    const Ids context = {1 + i % 90, 2, 3}, continuation = {4, 5 + i % 7};
    wire::LoglikelihoodRequest request;
    request.set_id(7 * i);
    *request.mutable_context() = Tokens(context);
    *request.mutable_continuation() = Tokens(continuation);
    requests.push_back(request);
    local.push_back({context, continuation});
  }
  const auto want = *Local()->Loglikelihood(local);
  grpc::ClientContext context;
  const auto responses = Exchange(*stub_->Loglikelihood(&context), requests);
  for (const auto& [id, response] : responses) {
    EXPECT_EQ(response.logprob(), want[id / 7].logprob);
    EXPECT_EQ(response.is_greedy(), want[id / 7].is_greedy);
  }
}

TEST_F(EvalServiceTest, AloneItHasTheSameBits) {
  wire::LoglikelihoodRequest pair;
  *pair.mutable_context() = String("What is it?  ");
  *pair.mutable_continuation() = String("this");
  Ids context, continuation;  // white space goes over
  for (int32_t id : tokenizer_->Encode("What is it?")) context.push_back(id);
  for (int32_t id : tokenizer_->Encode("  this")) continuation.push_back(id);
  wire::LoglikelihoodRollingRequest document;
  *document.mutable_text() = String("What is it?");
  wire::GenerateUntilRequest prompt;
  *prompt.mutable_prompt() = String("What is it?");
  prompt.set_max_new_tokens(30);

  grpc::ClientContext contexts[3];
  const auto scorer = Local();
  const LoglikelihoodResult want = scorer->Loglikelihood({{context, continuation}})->at(0);
  const auto got =
      Exchange<wire::LoglikelihoodRequest, wire::LoglikelihoodResponse>(*stub_->Loglikelihood(&contexts[0]), {pair});
  EXPECT_EQ(got.at(0).logprob(), want.logprob);
  EXPECT_EQ(got.at(0).is_greedy(), want.is_greedy);
  const auto rolled = Exchange<wire::LoglikelihoodRollingRequest, wire::LoglikelihoodRollingResponse>(
      *stub_->LoglikelihoodRolling(&contexts[1]), {document});
  EXPECT_EQ(rolled.at(0).logprob(), scorer->LoglikelihoodRolling({context})->at(0));
  const auto text =
      Exchange<wire::GenerateUntilRequest, wire::GenerateUntilResponse>(*stub_->GenerateUntil(&contexts[2]), {prompt});
  EXPECT_EQ(text.at(0).text(), scorer->GenerateUntil({{.prompt = context, .max_new_tokens = 30}})->at(0));
}

TEST_F(EvalServiceTest, WhatIsWrongIsSaidAndTheStreamGoesOn) {
  std::vector<wire::LoglikelihoodRequest> pairs(5);
  for (int64_t i = 0; i < 5; ++i) {
    pairs[i].set_id(i);
    *pairs[i].mutable_context() = Tokens({1, 2});
  }
  *pairs[0].mutable_continuation() = Tokens({97});
  *pairs[1].mutable_continuation() = String("x");
  *pairs[3].mutable_continuation() = Tokens({INT64_MIN});
  *pairs[4].mutable_continuation() = Tokens({3});
  grpc::ClientContext context;
  const auto got = Exchange(*stub_->Loglikelihood(&context), pairs);
  EXPECT_THAT(got.at(0).error().message(), HasSubstr("token id 97 is outside"));
  EXPECT_THAT(got.at(1).error().message(), HasSubstr("both be strings"));
  EXPECT_THAT(got.at(2).error().message(), HasSubstr("no token to score"));
  EXPECT_EQ(got.at(3).error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_FALSE(got.at(4).has_error());

  std::vector<wire::GenerateUntilRequest> prompts(6);
  for (int64_t i = 0; i < 6; ++i) {
    prompts[i].set_id(i);
    *prompts[i].mutable_prompt() = Tokens({1, 2});
    prompts[i].set_max_new_tokens(3);
  }
  prompts[0].clear_prompt();
  prompts[1].set_max_new_tokens(INT64_MIN);
  prompts[2].set_max_new_tokens(INT64_MAX);
  prompts[3].set_temperature(-1);
  prompts[4].set_top_p(7);
  grpc::ClientContext other;
  const auto texts = Exchange(*stub_->GenerateUntil(&other), prompts);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(texts.at(i).error().code(), grpc::INVALID_ARGUMENT) << i;
  EXPECT_FALSE(texts.at(5).has_error()) << texts.at(5).error().message();
}

TEST_F(EvalServiceTest, AFailureOfTheModelIsSaid) {
  served_.Break();
  wire::LoglikelihoodRollingRequest request;
  *request.mutable_text() = String("abc");
  grpc::ClientContext context;
  const auto got = Exchange<wire::LoglikelihoodRollingRequest, wire::LoglikelihoodRollingResponse>(
      *stub_->LoglikelihoodRolling(&context), {request});
  EXPECT_EQ(got.at(0).error().code(), grpc::DATA_LOSS) << got.at(0).error().message();
}

TEST_F(EvalServiceTest, AClientThatLeavesTakesItsWorkAlong) {
  auto context = std::make_unique<grpc::ClientContext>();
  auto stream = stub_->GenerateUntil(context.get());
  ASSERT_TRUE(stream->Write(Endless(0)));
  WaitUntil("running", 1);
  for (int64_t i = 1; i < 3; ++i) ASSERT_TRUE(stream->Write(Endless(i)));  // they wait for the first
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
  WaitUntil("running", 0);
  EXPECT_EQ(Requests("cancelled"), 1) << "the others never came to the model";
  grpc::ClientContext other;
  wire::LoglikelihoodRollingRequest request;
  *request.mutable_text() = String("abc");
  Exchange<wire::LoglikelihoodRollingRequest, wire::LoglikelihoodRollingResponse>(*stub_->LoglikelihoodRolling(&other),
                                                                                  {request});
  EXPECT_EQ(Requests("answered"), 1);
}

TEST_F(EvalServiceTest, AClientThatDoesNotReadIsHeldUp) {
  grpc::ChannelArguments small_windows;
  small_windows.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = wire::EvalService::NewStub(grpc::CreateCustomChannel(
      Concatenate("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials(), small_windows));
  grpc::ClientContext context;
  const auto stream = stub->LoglikelihoodRolling(&context);
  std::atomic<int64_t> sent = 0;
  std::thread writer([&] {
    wire::LoglikelihoodRollingRequest request;
    *request.mutable_text() = Tokens(Ids(100, 1));
    while (sent < 1'000'000 && stream->Write(request)) ++sent;
  });
  double answered = -1;
  for (int64_t before = -1; before != sent || answered != Requests("answered");) {
    before = sent;
    answered = Requests("answered");
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  EXPECT_GT(answered, 1000);
  EXPECT_LT(sent, 100'000) << "what fits into the windows of two connections' ends, and what the server takes";
  context.TryCancel();
  writer.join();
  stream->Finish();
}

TEST_F(EvalServiceTest, DrainingAnswersWhatIsBegun) {
  grpc::ClientContext context;
  const auto stream = stub_->GenerateUntil(&context);
  wire::GenerateUntilRequest request = Endless(1);
  request.set_max_new_tokens(3000);
  ASSERT_TRUE(stream->Write(request));
  WaitUntil("running", 1);
  std::thread draining([&] { server_->Drain(); });
  wire::GenerateUntilResponse response;
  EXPECT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 1);
  EXPECT_FALSE(response.has_error()) << response.error().message();
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE) << status.error_message();
  draining.join();
  grpc::ClientContext late;
  wire::DescribeResponse description;
  EXPECT_EQ(stub_->Describe(&late, {}, &description).error_code(), grpc::UNAVAILABLE);
}

TEST_F(EvalServiceTest, APortIsTakenOnce) {
  const auto other = EvalServer::Start(served_.queue(), tokenizer_, served_.metrics(),
                                       {.listen = Concatenate("127.0.0.1:", server_->port())});
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status())) << other.status();
}

TEST_F(EvalServiceTest, DescribesTheModel) {
  grpc::ClientContext context;
  wire::DescribeResponse description;
  ASSERT_TRUE(stub_->Describe(&context, {}, &description).ok());
  EXPECT_EQ(description.ShortDebugString(), "model: \"small\" vocabulary: 97 max_length: 1073741824 prefix_token: 0");
}

TEST_F(EvalServiceTest, TellsItsHealthAndItsMethods) {
  const std::string address = Concatenate("127.0.0.1:", server_->port());
  EXPECT_TRUE(GrpcServes(address, wire::EvalService::service_full_name()));
  EXPECT_THAT(GrpcServices(address), HasSubstr("radlads.eval.v1.EvalService"));
}

// The program itself, with streams open: SIGTERM ends them and gives 0.
TEST_F(EvalServiceTest, TheProgramDrainsOnSigterm) {
  const std::string directory = ::testing::TempDir() + "/served";
  std::filesystem::remove_all(directory);
  served_.Save(directory);
  const int port = server_->port();  // a free one
  server_.reset();
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string listen = Concatenate("127.0.0.1:", port);
    ::execl("eval/server", "server", "--model", directory.c_str(), "--port", "0", "--grpc_listen", listen.c_str(),
            "--max_length", "1000000", "--threads", "1", nullptr);
    ::_exit(127);
  }
  grpc::ClientContext idle_context, busy_context;
  idle_context.set_wait_for_ready(true);
  busy_context.set_wait_for_ready(true);
  const auto stub = StubOf(port);
  const auto idle = stub->Loglikelihood(&idle_context);
  const auto busy = stub->GenerateUntil(&busy_context);
  for (int64_t i = 0; i < 2; ++i) {
    wire::GenerateUntilRequest request = Endless(i);
    request.set_max_new_tokens(200);
    ASSERT_TRUE(busy->Write(request));
    wire::GenerateUntilResponse response;
    if (i == 0) {
      ASSERT_TRUE(busy->Read(&response));
    }
  }
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  wire::LoglikelihoodResponse nothing;
  EXPECT_FALSE(idle->Read(&nothing));
  EXPECT_EQ(idle->Finish().error_code(), grpc::UNAVAILABLE);
  for (wire::GenerateUntilResponse response; busy->Read(&response);) EXPECT_FALSE(response.has_error());
  EXPECT_EQ(busy->Finish().error_code(), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace radlads
