// Texts on streams: //serve/grpc with a model that says what is known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/status.h"
#include "serve/grpc/testing.h"
#include "testing/raw_grpc_call.h"

namespace radlads {
namespace {

namespace wire = serve::v1;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

int Code(const wire::Result& result) {
  return result.error().code();
}

TEST_F(GrpcTextServerTest, ATextComesInPiecesWithOneResult) {
  wire::GenerateRequest request = Begin(7);
  request.mutable_begin()->set_logprobs(2);
  request.mutable_begin()->set_keep(true);
  request.mutable_begin()->set_snapshot_id("mine");
  const auto said = Exchange({request});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said.at(7).text, "Hi!");
  ASSERT_EQ(said.at(7).tokens.size(), 4u);
  EXPECT_EQ(said.at(7).tokens[0].ShortDebugString(),
            "id: 40 logprob: -0.5 likeliest { id: 40 logprob: -0.5 } likeliest { id: 41 logprob: -1.5 }");
  ASSERT_TRUE(said.at(7).result);
  EXPECT_EQ(said.at(7).result->ShortDebugString(),
            "finish: STOP session: \"session-2\" snapshot: \"mine\" prompt_tokens: 2 cached_tokens: 0 reply_tokens: 4 "
            "text_tokens: 6 state_bytes: 4096");
}

TEST_F(GrpcTextServerTest, AConversationGoesOnFromItsSessionAndFromSnapshots) {
  wire::Session session;
  ASSERT_TRUE(Call(&wire::TextService::Stub::CreateSession, wire::CreateSessionRequest(), &session).ok());
  wire::GenerateRequest request;
  request.mutable_begin()->set_session(session.id());
  wire::Message& message = *request.mutable_begin()->mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content("hello");
  const wire::Result first = *Exchange({request}).at(0).result;
  EXPECT_EQ(first.prompt_tokens(), 10);  // u:hello<|end|>a:
  message.set_content("more");
  const wire::Result second = *Exchange({request}).at(0).result;
  EXPECT_EQ(second.session(), session.id());
  EXPECT_EQ(second.text_tokens(), 10 + 4 + 9 + 4);  // <|end|>u:more<|end|>a:, whose first ended the reply already
  request.mutable_begin()->set_snapshot(first.snapshot());
  const wire::Result branch = *Exchange({request}).at(0).result;
  EXPECT_EQ(branch.text_tokens(), second.text_tokens());
  EXPECT_FALSE(branch.has_session());
}

TEST_F(GrpcTextServerTest, WhatIsWrongIsSaidAndTheStreamGoesOn) {
  struct Case {
    std::function<void(wire::Text&)> change;
    int code;
    const char* words;
  };
  const Case cases[] = {
      {[](auto& text) { text.clear_text(); }, 3, "no prompt and nothing to go on from"},
      {[](auto& text) { text.set_text(""); }, 3, "no token"},
      {[](auto& text) { text.mutable_tokens()->add_ids(97); }, 3, "id 97 is outside"},
      {[](auto& text) { text.mutable_tokens()->add_ids(INT64_MIN); }, 3, "is outside"},
      {[](auto& text) { text.mutable_chat(); }, 3, "messages must be one or more"},
      {[](auto& text) { text.set_max_tokens(-1); }, 3, "max_tokens must be 0 or more, found -1"},
      {[](auto& text) { text.set_logprobs(21); }, 3, "logprobs must be from 0 to 20"},
      {[](auto& text) { text.mutable_sampling()->set_temperature(std::nan("")); }, 3, "sampling.temperature"},
      {[](auto& text) { text.mutable_sampling()->set_top_p(-1); }, 3, "sampling.top_p"},
      {[](auto& text) { text.mutable_sampling()->set_min_p(2); }, 3, "sampling: min_p"},
      {[](auto& text) { (*text.mutable_sampling()->mutable_logit_bias())[97] = 1; }, 3, "token id 97"},
      {[](auto& text) { (*text.mutable_sampling()->mutable_logit_bias())[1] = 1e300; }, 3, "sampling.logit_bias"},
      {[](auto& text) { text.set_session(""); }, 3, "has no name"},
      {[](auto& text) { text.set_session("../etc"); }, 3, "an id has"},
      {[](auto& text) { text.set_session("nobody"); }, 5, "there is no session nobody"},
      {[](auto& text) { text.set_snapshot("nothing"); }, 5, "there is no snapshot nothing"},
      {[](auto& text) { text.add_stop_tokens(97); }, 3, "stop_tokens: id 97 is outside"},
      {[](auto& text) { text.set_min_tokens(-1); }, 3, "min_tokens must be from 0 to max_tokens"},
      {[](auto& text) { text.set_model("gpt-9\xff"); }, 5,
       "there is no model \"gpt-9\xef\xbf\xbd\"; this server has fake"},
  };
  std::vector<wire::GenerateRequest> requests;
  for (const Case& one : cases) {
    requests.push_back(Begin(requests.size()));
    one.change(*requests.back().mutable_begin());
  }
  requests.push_back(Begin(1000));
  requests.emplace_back().set_id(1001);
  const auto said = Exchange(requests);
  ASSERT_EQ(said.size(), requests.size());
  for (size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(Code(*said.at(i).result), cases[i].code) << said.at(i).result->ShortDebugString();
    EXPECT_THAT(said.at(i).result->error().message(), HasSubstr(cases[i].words));
    EXPECT_FALSE(said.at(i).result->has_finish());
  }
  EXPECT_EQ(said.at(1000).text, "Hi!");
  EXPECT_THAT(said.at(1001).result->error().message(), HasSubstr("neither begin nor cancel"));
}

TEST_F(GrpcTextServerTest, AFailureOfTheModelIsSaid) {
  service().FailWith(absl::InternalError("the model broke"));
  const auto said = Exchange({Begin(1)});
  EXPECT_EQ(Code(*said.at(1).result), grpc::INTERNAL);
  EXPECT_EQ(said.at(1).result->error().message(), "the model broke");
}

TEST_F(GrpcTextServerTest, AMessageThatIsNoneEndsTheStream) {
  const grpc::Status status = RawGrpcCall(Address(), "/radlads.serve.v1.TextService/Generate", "\xff\xff\xff").status;
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("no GenerateRequest"));
  EXPECT_EQ(Exchange({Begin(1)}).at(1).text, "Hi!");
}

TEST_F(GrpcTextServerTest, WhatEndsATextAndALastMessageThatGoesOn) {
  wire::GenerateRequest request = Begin(1);
  wire::Text& text = *request.mutable_begin();
  text.add_stop_tokens(7);
  text.set_ignore_eos(true);
  text.set_min_tokens(2);
  for (const auto& [role, content] : {std::pair("user", "hello"), std::pair("assistant", "So")}) {
    wire::Message& message = *text.mutable_chat()->add_messages();
    message.set_role(role);
    message.set_content(content);
  }
  EXPECT_EQ(Exchange({request}).at(1).result->prompt_tokens(), 12);  // u:hello<|end|>a:So
  const TextRequest asked = service().last_request();
  EXPECT_EQ(asked.stop_ids, std::vector<int64_t>{7});
  EXPECT_TRUE(asked.ignore_eos);
  EXPECT_EQ(asked.min_tokens, 2);
}

class TwoModelsTest : public GrpcTextServerTest {
 protected:
  TwoModelsTest() : GrpcTextServerTest({}, {.reply = {40, 0}}, {"one", "two"}) {}
};

TEST_F(TwoModelsTest, ATextNamesItsModel) {
  wire::GenerateRequest named = Begin(1);
  named.mutable_begin()->set_model("two");
  const auto said = Exchange({named, Begin(2)});
  EXPECT_EQ(said.at(1).text, "H");
  EXPECT_EQ(service(0).finished().size(), 0u);
  EXPECT_EQ(service(1).finished().size(), 1u);
  EXPECT_EQ(said.at(2).result->error().message(), "model is missing; this server has one, two");
}

class LongTextTest : public GrpcTextServerTest {
 protected:
  explicit LongTextTest(const GrpcTextServerOptions& options = {}, milliseconds token = milliseconds(1),
                        int64_t texts = 1024)
      : GrpcTextServerTest(options, {.reply = {40, 73}, .token_time = token, .texts = texts}) {}
};

TEST_F(LongTextTest, ManyTextsGoOnAtOnceOnOneStream) {
  std::vector<wire::GenerateRequest> requests;
  for (uint64_t id = 0; id < 100; ++id) {
    requests.push_back(Begin(id * 1'000'000'007));
    requests.back().mutable_begin()->set_max_tokens(20 + id % 7);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto said = Exchange(requests);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << "one after the other takes longer";
  ASSERT_EQ(said.size(), 100u);
  for (uint64_t id = 0; id < 100; ++id) {
    const Said& text = said.at(id * 1'000'000'007);
    EXPECT_EQ(text.tokens.size(), 20 + id % 7);
    EXPECT_EQ(text.text.size(), 20 + id % 7);
    EXPECT_EQ(text.result->finish(), wire::Result::LENGTH);
    EXPECT_EQ(text.result->reply_tokens(), 20 + id % 7);
  }
}

TEST_F(LongTextTest, AClientCancelsOneOfItsTexts) {
  grpc::ClientContext context;
  const auto stub = Stub();
  const auto stream = stub->Generate(&context);
  stream->Write(Endless(1));
  stream->Write(Endless(2));
  WaitForRunning(2);
  stream->Write(Cancel(3));  // there is none
  stream->Write(Cancel(1));
  const auto said = Read(*stream, 1);
  ASSERT_TRUE(said.at(1).result);
  EXPECT_EQ(said.at(1).result->finish(), wire::Result::CANCELLED);
  EXPECT_EQ(said.at(1).result->reply_tokens(), said.at(1).tokens.size());
  EXPECT_EQ(service().running(), 1);
  // Its id is free.
  wire::GenerateRequest again = Begin(1);
  again.mutable_begin()->set_max_tokens(3);
  stream->Write(again);
  EXPECT_EQ(Read(*stream, 1).at(1).result->reply_tokens(), 3);
  stream->Write(Cancel(2));
  stream->WritesDone();
  EXPECT_EQ(Read(*stream, SIZE_MAX).at(2).result->finish(), wire::Result::CANCELLED);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(LongTextTest, AnIdIsThatOfOneTextAtATime) {
  const auto said = Exchange({Endless(1), Endless(2), Begin(2)}, grpc::INVALID_ARGUMENT);
  for (const uint64_t id : {1, 2}) EXPECT_EQ(Code(*said.at(id).result), grpc::ABORTED) << id;
  EXPECT_EQ(service().running(), 0);
}

TEST_F(LongTextTest, TheTextsOfAClientThatLeftEnd) {
  for (const bool half_closed : {false, true}) {
    grpc::ClientContext context;
    const auto stub = Stub();
    const auto stream = stub->Generate(&context);
    stream->Write(Endless(1));
    stream->Write(Endless(2));
    if (half_closed) stream->WritesDone();
    WaitForRunning(2);
    wire::GenerateResponse response;
    ASSERT_TRUE(stream->Read(&response));
    context.TryCancel();
    const auto start = std::chrono::steady_clock::now();
    WaitForRunning(0);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
    EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
    EXPECT_EQ(service().finished().back(), TextFinish::kCancelled);
  }
}

class FewTextsTest : public LongTextTest {
 protected:
  FewTextsTest() : LongTextTest({.streams = 2}, milliseconds(1), 1) {}
};

TEST_F(FewTextsTest, BeyondALimitItIsNamed) {
  grpc::ClientContext contexts[3];
  const auto stub = Stub();
  const auto busy = stub->Generate(&contexts[0]), idle = stub->Generate(&contexts[1]);
  busy->Write(Endless(1));
  WaitForRunning(1);
  idle->Write(Begin(2));
  const wire::Result refused = *Read(*idle, 1).at(2).result;
  EXPECT_EQ(Code(refused), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error().message(), HasSubstr("1 texts go on already; try again"));
  const auto third = stub->Generate(&contexts[2]);
  wire::GenerateResponse response;
  EXPECT_FALSE(third->Read(&response));
  const grpc::Status status = third->Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "the server has 2 such calls open, which is all it takes; one stream takes many texts");
  for (const auto& stream : {&busy, &idle}) (*stream)->WritesDone();
  contexts[0].TryCancel();
  EXPECT_EQ(busy->Finish().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(idle->Finish().ok());
}

class SlowReaderTest : public LongTextTest {
 protected:
  explicit SlowReaderTest(milliseconds write_time = milliseconds(60'000))
      : LongTextTest({.write_time = write_time}, milliseconds(0)) {}

  // With windows that do not grow.
  std::unique_ptr<wire::TextService::Stub> SlowStub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return wire::TextService::NewStub(
        grpc::CreateCustomChannel(Address(), grpc::InsecureChannelCredentials(), arguments));
  }
};

TEST_F(SlowReaderTest, WhatWaitsIsBoundedAndNobodyElseWaits) {
  grpc::ClientContext context;
  const auto stub = SlowStub();
  const auto stream = stub->Generate(&context);
  wire::GenerateRequest request = Endless(1);
  request.mutable_begin()->set_logprobs(20);
  stream->Write(request);
  WaitForRunning(1);
  wire::GenerateRequest other = Begin(1);
  other.mutable_begin()->set_max_tokens(50);
  EXPECT_EQ(Exchange({other}).at(1).text.size(), 50u);
  WaitForRunning(0);
  // What waited comes, and then why it ended.
  const auto said = Read(*stream, 1);
  const wire::Result result = *said.at(1).result;
  EXPECT_EQ(Code(result), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(result.error().message(), HasSubstr("16 MiB of them wait"));
  EXPECT_GT(result.reply_tokens(), 1000);
  EXPECT_GE(said.at(1).tokens.size() + 1, result.reply_tokens());
  EXPECT_LT(said.at(1).responses, result.reply_tokens() / 5) << "pieces that wait are one response";
  stream->Write(other);
  EXPECT_EQ(Read(*stream, 1).at(1).text.size(), 50u);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

class StalledReaderTest : public SlowReaderTest {
 protected:
  StalledReaderTest() : SlowReaderTest(milliseconds(300)) {}
};

TEST_F(StalledReaderTest, AReaderThatReadsNothingIsGivenUp) {
  grpc::ClientContext context;
  const auto stub = SlowStub();
  const auto stream = stub->Generate(&context);
  stream->Write(Endless(1));
  WaitForRunning(1);
  WaitForRunning(0);
  EXPECT_EQ(service().finished().back(), TextFinish::kCancelled);
  Read(*stream, 1);
  EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
}

TEST_F(SlowReaderTest, AClientThatOnlyAsksIsHeldUp) {
  grpc::ClientContext context;
  const auto stub = SlowStub();
  const auto stream = stub->Generate(&context);
  std::atomic<int64_t> sent = 0;
  std::thread writer([&] {
    wire::GenerateRequest request;  // is refused
    request.mutable_begin()->set_model(std::string(1000, 'x'));
    for (; sent < 1'000'000; ++sent) {
      request.set_id(sent);
      if (!stream->Write(request)) break;
    }
  });
  for (int64_t before = -1; before != sent;) {
    before = sent;
    std::this_thread::sleep_for(milliseconds(500));
  }
  EXPECT_GT(sent, 1000);
  EXPECT_LT(sent, 100'000) << "what fits into the windows, and what the server takes";
  context.TryCancel();
  writer.join();
  stream->Finish();
}

class DrainTest : public LongTextTest {
 protected:
  DrainTest() : LongTextTest({.drain_time = milliseconds(300)}) {}
};

TEST_F(DrainTest, StreamsEndProperly) {
  grpc::ClientContext contexts[2];
  const auto stub = Stub();
  const auto busy = stub->Generate(&contexts[0]), idle = stub->Generate(&contexts[1]);
  wire::GenerateRequest kept = Endless(1), shorter = Begin(2);
  kept.mutable_begin()->set_keep(true);
  shorter.mutable_begin()->set_max_tokens(100);
  busy->Write(kept);
  busy->Write(shorter);
  WaitForRunning(2);
  const auto start = std::chrono::steady_clock::now();
  std::thread draining([&] { server_->Drain(); });
  wire::GenerateResponse nothing;
  EXPECT_FALSE(idle->Read(&nothing));
  EXPECT_EQ(idle->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(service().running(), 2);
  busy->Write(Begin(3));
  const auto said = Read(*busy, SIZE_MAX);
  const grpc::Status status = busy->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE) << status.error_message();
  draining.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  EXPECT_EQ(said.at(2).result->finish(), wire::Result::LENGTH);
  EXPECT_EQ(Code(*said.at(1).result), grpc::UNAVAILABLE);
  EXPECT_FALSE(said.at(1).result->session().empty()) << "where it can be gone on from elsewhere";
  EXPECT_EQ(Code(*said.at(3).result), grpc::UNAVAILABLE);
  EXPECT_EQ(said.at(3).responses, 1);
}

}  // namespace
}  // namespace radlads
