#include "serve/http/http_text_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/http/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

constexpr char kChat[] = "/v1/chat/completions", kText[] = "/v1/completions";
const Json kHello = {{"messages", {{{"role", "user"}, {"content", "hello"}}}}};

Json With(Json json, const Json& more) {
  json.update(more);
  return json;
}

TEST_F(HttpTextServerTest, AChatIsAnswered) {
  const Json reply = Post(kChat, With(kHello, {{"model", "fake"}}));
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["model"], "fake");
  EXPECT_THAT(reply["id"].get<std::string>(), ::testing::StartsWith("chatcmpl-"));
  const Json& choice = reply["choices"][0];
  EXPECT_EQ(choice["message"], Json({{"role", "assistant"}, {"content", "Hi!"}, {"refusal", nullptr}}));
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["logprobs"], nullptr);
  EXPECT_EQ(reply["usage"]["prompt_tokens"], 10);  // u:hello<|end|>a:
  EXPECT_EQ(reply["usage"]["completion_tokens"], 4);
  EXPECT_EQ(reply["usage"]["total_tokens"], 14);
  EXPECT_EQ(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(reply["state"], Json({{"session", nullptr}, {"snapshot", nullptr}, {"tokens", 14}, {"bytes", 4096}}));
  const Json cut =
      Post(kChat, With(kHello, {{"max_tokens", 2}, {"logprobs", true}, {"top_logprobs", 2}}))["choices"][0];
  EXPECT_EQ(cut["finish_reason"], "length");
  EXPECT_EQ(cut["logprobs"]["content"].size(), 2u);
  EXPECT_EQ(cut["logprobs"]["content"][0]["token"], "H");
  EXPECT_EQ(cut["logprobs"]["content"][0]["bytes"], Json({72}));
  EXPECT_EQ(cut["logprobs"]["content"][0]["top_logprobs"].size(), 2u);
}

TEST_F(HttpTextServerTest, ATextIsContinued) {
  const Json reply = Post(kText, {{"prompt", "!!"}, {"logprobs", 1}});
  EXPECT_EQ(reply["object"], "text_completion");
  EXPECT_EQ(reply["choices"][0]["text"], "Hi!");
  EXPECT_EQ(reply["choices"][0]["logprobs"],
            Json({{"tokens", {"H", "i", "!", "<|end|>"}},
                  {"token_logprobs", {-0.5, -0.5, -0.5, -0.5}},
                  {"top_logprobs", {{{"H", -0.5}}, {{"i", -0.5}}, {{"!", -0.5}}, {{"<|end|>", -0.5}}}},
                  {"text_offset", {0, 1, 2, 3}}}));
}

TEST_F(HttpTextServerTest, AStreamSaysWhatAReplySays) {
  std::string text;
  const std::vector<Json> chat =
      Stream(kChat, With(kHello, {{"stream_options", {{"include_usage", true}}}, {"logprobs", true}}));
  // The role, four tokens (those that waited for the reader are one event), the reason, the counts.
  ASSERT_GE(chat.size(), 4u);
  ASSERT_LE(chat.size(), 7u);
  size_t tokens = 0;
  EXPECT_EQ(chat[0]["choices"][0]["delta"]["role"], "assistant");
  for (size_t i = 0; i + 1 < chat.size(); ++i) {
    EXPECT_EQ(chat[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(chat[i]["id"], chat[0]["id"]);
    EXPECT_EQ(chat[i]["usage"], nullptr);
    EXPECT_TRUE(chat[i].contains("usage"));
    text += chat[i]["choices"][0]["delta"].value("content", "");
    EXPECT_EQ(chat[i]["choices"][0]["finish_reason"], i + 2 == chat.size() ? Json("stop") : Json());
    const Json& logprobs = chat[i]["choices"][0]["logprobs"];
    if (!logprobs.is_null()) tokens += logprobs["content"].size();
  }
  EXPECT_EQ(tokens, 4u);
  EXPECT_EQ(text, "Hi!");
  EXPECT_EQ(chat[1]["choices"][0]["logprobs"]["content"][0]["token"], "H");
  EXPECT_EQ(chat[chat.size() - 2]["state"]["tokens"], 14);
  EXPECT_TRUE(chat.back()["choices"].empty());
  EXPECT_EQ(chat.back()["usage"]["completion_tokens"], 4);

  const std::vector<Json> plain = Stream(kText, {{"prompt", "!!"}, {"max_tokens", 2}, {"logprobs", 0}});
  std::string words;
  Json offsets = Json::array();
  for (const Json& event : plain) {
    words += event["choices"][0].value("text", "");
    const Json& logprobs = event["choices"][0]["logprobs"];
    if (!logprobs.is_null())
      offsets.insert(offsets.end(), logprobs["text_offset"].begin(), logprobs["text_offset"].end());
  }
  EXPECT_EQ(words, "Hi");
  EXPECT_EQ(offsets, Json({0, 1}));
  EXPECT_EQ(plain.back()["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(plain[0].contains("usage"));
}

TEST_F(HttpTextServerTest, AConversationGoesOnFromItsSession) {
  EXPECT_EQ(Post("/v1/sessions", {{"id", "mine"}})["tokens"], 0);
  const Json first = Post(kChat, With(kHello, {{"session_id", "mine"}}));
  EXPECT_EQ(first["state"]["session"], "mine");
  EXPECT_EQ(first["state"]["snapshot"], first["id"]);
  const Json more = {{"session_id", "mine"}, {"messages", {{{"role", "user"}, {"content", "more"}}}}};
  const Json second = Post(kChat, more);
  // <|end|>u:more<|end|>a:, whose first ended the reply already.
  EXPECT_EQ(second["usage"]["prompt_tokens"], 9);
  EXPECT_EQ(Get("/v1/sessions/mine")["text"], "u:hello<|end|>a:Hi!<|end|>u:more<|end|>a:Hi!<|end|>");
  EXPECT_EQ(second["state"]["tokens"], 14 + 9 + 4);

  const Json session = Get("/v1/sessions/mine");
  ASSERT_EQ(session["messages"].size(), 4u);
  EXPECT_EQ(session["messages"][3], Json({{"role", "assistant"}, {"content", "Hi!"}, {"tokens", 26}}));
  ASSERT_EQ(session["snapshots"].size(), 2u);
  EXPECT_EQ(session["snapshots"][0]["id"], first["id"]);
  EXPECT_EQ(session["snapshots"][0]["tokens"], 14);
  EXPECT_EQ(Get("/v1/sessions/mine?first=20")["text"], "<|end|>a:Hi!<|end|>");
  // A part begins with a turn's mark or a character, and says so.
  const Json part = Get("/v1/sessions/mine?first=21&limit=3");
  EXPECT_EQ(part["first"], 20);
  EXPECT_EQ(part["text"], "<|end|>a:H");
  EXPECT_EQ(part["messages"], Json({{{"role", "assistant"}, {"content", "H"}, {"tokens", 24}}}));
  const Json end = Get("/v1/sessions/mine?limit=9");
  EXPECT_EQ(end["first"], 18);
  EXPECT_EQ(end["messages"][0], Json({{"role", "user"}, {"content", "re"}, {"tokens", 20}, {"continues", true}}));
  EXPECT_EQ(Get("/v1/sessions/mine?first=27")["text"], "");
  Get("/v1/sessions/mine?limit=0", 400);
  EXPECT_TRUE(absl::IsNotFound(service().GetSession("nobody").status()));
}

TEST_F(HttpTextServerTest, AReplyThatIsStoredCanBeGoneOnFrom) {
  const Json first = Post(kChat, With(kHello, {{"store", true}}));
  const std::string session = first["state"]["session"];
  for (int i = 0; i < 2; ++i) {
    const Json next = Post(kChat, With(kHello, {{"previous_response_id", first["id"]}}));
    EXPECT_EQ(next["state"]["tokens"], 14 + 10 + 4);  // u:hello<|end|>a:Hi!<|end|>
    EXPECT_EQ(next["state"]["session"], nullptr);
  }
  EXPECT_EQ(Get("/v1/sessions/" + session)["tokens"], 14);
  Post(kChat, With(kHello, {{"previous_response_id", "chatcmpl-unknown"}}), 404);
}

TEST_F(HttpTextServerTest, SessionsAreForkedRewoundMovedAndDeleted) {
  const Json first = Post(kChat, With(kHello, {{"store", true}}));
  const std::string path = "/v1/sessions/" + first["state"]["session"].get<std::string>();
  Post(kChat, With(kHello, {{"session_id", first["state"]["session"]}}));
  EXPECT_EQ(Post(path + "/fork", {{"id", "whole"}})["tokens"], 28);
  const Json fork = Post(path + "/fork", {{"id", "begin"}, {"snapshot", first["id"]}});
  EXPECT_EQ(fork["tokens"], 14);
  EXPECT_EQ(fork["parent"], first["state"]["session"]);
  Post(path + "/fork", {{"id", "begin"}}, 409);
  EXPECT_EQ(Post(path + "/rewind", {{"snapshot", first["id"]}})["tokens"], 14);
  Post(path + "/rewind", {{"snapshot", "other"}}, 404);
  Post(path + "/rewind", Json::object(), 400);

  auto client = Client();
  const auto blob = client.Get("/v1/sessions/whole/export");
  ASSERT_TRUE(blob);
  EXPECT_EQ(blob->get_header_value("Content-Type"), "application/octet-stream");
  const auto moved = client.Post("/v1/sessions/import?id=moved", blob->body, "application/octet-stream");
  ASSERT_TRUE(moved);
  EXPECT_EQ(Json::parse(moved->body)["tokens"], 28);
  EXPECT_EQ(client.Post("/v1/sessions/import", "no blob", "application/octet-stream")->status, 400);

  EXPECT_EQ(Get("/v1/sessions")["data"].size(), 4u);
  const Json page = Get("/v1/sessions?limit=2&after=begin");
  EXPECT_EQ(page["data"].size(), 2u);
  EXPECT_EQ(page["data"][0]["id"], "moved");
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(Get("/v1/sessions?after=session-9")["has_more"], false);
  Get("/v1/sessions?limit=0", 400);
  EXPECT_EQ(client.Delete("/v1/sessions/moved")->status, 200);
  EXPECT_EQ(client.Delete("/v1/sessions/moved")->status, 404);
  for (const char* id : {"..%2F..%2Fetc", "a%00b", "a.b", "%C3%A9"}) {
    EXPECT_THAT(client.Get(std::string("/v1/sessions/") + id)->status, ::testing::AnyOf(400, 404)) << id;
  }
}

TEST_F(HttpTextServerTest, ErrorsAreOpenAis) {
  auto client = Client();
  const auto bad = client.Post(kChat, "{", "application/json");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 400);
  Json error = Json::parse(bad->body)["error"];
  EXPECT_THAT(error["message"].get<std::string>(), ::testing::StartsWith("the body: not JSON: at byte 1, "));
  error.erase("message");
  EXPECT_EQ(error, Json({{"type", "invalid_request_error"}, {"param", nullptr}, {"code", nullptr}}));
  EXPECT_EQ(Post(kChat, With(kHello, {{"model", "gpt-9"}}))["model"], "fake");  // there is no other
  EXPECT_THAT(Post(kChat, With(kHello, {{"n", 3}}), 400)["error"]["message"].get<std::string>(), HasSubstr("n is not"));
  EXPECT_THAT(Get("/nowhere", 404)["error"]["message"].get<std::string>(), HasSubstr("/nowhere"));
  EXPECT_EQ(Get("/nowhere", 404)["error"]["code"], "unknown_url");
  EXPECT_EQ(Post("/v1/models", {}, 405)["error"]["code"], "method_not_supported");
  service().FailWith(absl::InternalError("the model broke"));
  const Json failed = Post(kChat, kHello, 500);
  EXPECT_EQ(failed["error"]["type"], "server_error");
  EXPECT_EQ(failed["error"]["code"], nullptr);
  const std::vector<Json> events = Stream(kChat, kHello);
  EXPECT_EQ(events.back()["error"]["message"], "the model broke");
  EXPECT_THAT(prometheus::TextSerializer().Serialize(metrics_.Collect()),
              HasSubstr("radlads_http_requests_total{code=\"500\",path=\"/v1/chat/completions\"} 1"));
}

TEST_F(HttpTextServerTest, MethodsThatAPathDoesNotHaveAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"/v1/chat/completions", "POST"}, {"/v1/models", "GET, HEAD"},         {"/v1/models/fake", "GET, HEAD"},
      {"/health", "GET, HEAD"},         {"/v1/sessions", "GET, HEAD, POST"}, {"/v1/sessions/s", "GET, HEAD, DELETE"}};
  for (const auto& [path, allowed] : cases) {
    for (const char* method : {"PUT", "TRACE", "OPTIONS", "PATCH"}) {
      const std::string request =
          Concatenate(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      const int socket = Send(request);
      const std::string reply = Read(socket);
      EXPECT_THAT(reply, ::testing::StartsWith("HTTP/1.1 405")) << request;
      EXPECT_THAT(reply, HasSubstr(Concatenate("\r\nAllow: ", allowed, "\r\n"))) << request;
      ::close(socket);
    }
  }
  EXPECT_EQ(Client().Head("/health")->status, 200);
  EXPECT_EQ(Client().Delete("/nowhere")->status, 404);
}

// Balancers' probes are of HTTP/1.0, without Host.
TEST_F(HttpTextServerTest, ProbesOfOldHttpAreAnswered) {
  for (const char* path : {"/health", "/metrics"}) {
    const int socket = Send(Concatenate("GET ", path, " HTTP/1.0\r\n\r\n"));
    EXPECT_THAT(Read(socket), ::testing::StartsWith("HTTP/1.1 200"));
    ::close(socket);
  }
}

TEST_F(HttpTextServerTest, ABodyIsWhatItsEncodingSays) {
  const auto post = [&](const std::string& encoding, const std::string& body) {
    const auto reply = Client().Post(kChat, {{"Content-Encoding", encoding}}, body, "application/json");
    EXPECT_TRUE(reply) << httplib::to_string(reply.error());
    return reply ? *reply : httplib::Response();
  };
  EXPECT_EQ(post("identity", kHello.dump()).status, 200);
  EXPECT_EQ(post("br", kHello.dump()).status, 415);
  for (const char* body : {"garbage", "\x1f\x8b", "\x1f\x8b\x08"}) {
    const auto reply = post("gzip", body);
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr("the body is not gzip"));
  }
  auto compressing = Client();
  compressing.set_compress(true);
  EXPECT_EQ(compressing.Post(kChat, kHello.dump(), "application/json")->status, 200);
}

// What the library refuses before any handler has its own time and client in the log's metrics, too.
TEST_F(HttpTextServerTest, WhatIsNoRequestIsCounted) {
  const int socket = Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_THAT(Read(socket), ::testing::StartsWith("HTTP/1.1 505"));
  ::close(socket);
  EXPECT_EQ(Client().Get("/health", {{"Range", "nonsense"}})->status, 416);
  Stop();
  const std::string metrics = prometheus::TextSerializer().Serialize(metrics_.Collect());
  EXPECT_THAT(metrics, HasSubstr("radlads_http_requests_total{code=\"505\",path=\"other\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("radlads_http_requests_total{code=\"416\",path=\"other\"} 1"));
}

TEST_F(HttpTextServerTest, NoRoomIsNotALimitThatPasses) {
  service().FailWith(NoRoom("the disk is full"));
  const Json error = Post(kChat, kHello, 507)["error"];
  EXPECT_EQ(error["message"], "the disk is full");
  EXPECT_EQ(error["code"], "insufficient_storage");
  auto client = Client();
  EXPECT_FALSE(client.Post(kChat, kHello.dump(), "application/json")->has_header("Retry-After"));
}

TEST_F(HttpTextServerTest, RequestsHaveIds) {
  auto client = Client();
  EXPECT_EQ(client.Get("/health", {{"X-Request-Id", "mine-1"}})->get_header_value("x-request-id"), "mine-1");
  const std::string made = client.Get("/health", {{"X-Request-Id", "not a word"}})->get_header_value("x-request-id");
  EXPECT_THAT(made, ::testing::StartsWith("req-"));
  EXPECT_NE(client.Get("/nowhere")->get_header_value("x-request-id"), made);
}

TEST_F(HttpTextServerTest, SmallPaths) {
  auto client = Client();
  EXPECT_EQ(Get("/v1/models")["data"][0]["id"], "fake");
  EXPECT_EQ(Get("/v1/models/fake")["object"], "model");
  Get("/v1/models/other", 404);
  const auto page = client.Get("/");
  ASSERT_TRUE(page);
  EXPECT_THAT(page->body, HasSubstr("<!doctype html>"));
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(client.Get("/style.css")->get_header_value("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(client.Get("/script.js")->status, 200);
  Post(kChat, kHello);
  const std::string metrics = client.Get("/metrics")->body;
  for (const char* line : {"radlads_http_requests_total{code=\"200\",path=\"/v1/chat/completions\"} 1",
                           "radlads_http_tokens_total{kind=\"reply\",model=\"fake\"} 4",
                           "radlads_http_first_token_seconds_count 1", "radlads_http_connections "}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

class StartingTest : public HttpTextServerTest {
 protected:
  StartingTest() : HttpTextServerTest({.starting = true}) {}
};

TEST_F(StartingTest, HealthWaitsForTheServerToBeReady) {
  EXPECT_EQ(Get("/health", 503), Json({{"status", "starting"}}));
  Post(kChat, kHello);  // is answered, as fast as it can be
  server_->Ready();
  EXPECT_EQ(Get("/health"), Json({{"status", "ok"}}));
}

class TwoModelsTest : public HttpTextServerTest {
 protected:
  TwoModelsTest() : HttpTextServerTest({}, {.reply = {40, 0}}, {"one", "two/chat"}) {}
};

TEST_F(TwoModelsTest, ARequestNamesItsModel) {
  EXPECT_EQ(Post(kChat, With(kHello, {{"model", "two/chat"}}))["model"], "two/chat");
  EXPECT_EQ(service(0).finished().size(), 0u);
  EXPECT_EQ(service(1).finished().size(), 1u);
  EXPECT_THAT(Post(kChat, kHello, 400)["error"]["message"].get<std::string>(),
              HasSubstr("model is missing; this server has one, two/chat"));
  EXPECT_EQ(Get("/v1/models/two/chat")["id"], "two/chat");
  EXPECT_THAT(Post(kChat, With(kHello, {{"model", "gpt-9"}}), 404)["error"]["message"].get<std::string>(),
              HasSubstr("no model \"gpt-9\"; this server has one, two/chat"));
  EXPECT_EQ(Post("/v1/sessions?model=one", {{"id", "s"}})["model"], "one");
  Get("/v1/sessions/s?model=two%2Fchat", 404);
  Get("/v1/sessions/s", 400);
  EXPECT_EQ(Get("/v1/sessions?model=one")["data"].size(), 1u);
}

// A text that goes on for longer than anybody waits.
class LongTextTest : public HttpTextServerTest {
 protected:
  explicit LongTextTest(HttpTextServerOptions options = {},
                        std::chrono::milliseconds token = std::chrono::milliseconds(1), int64_t texts = 1024)
      : HttpTextServerTest(options, {.reply = {40, 73}, .token_time = token, .texts = texts}) {}

  static Json Forever(bool stream) { return With(kHello, {{"max_tokens", 1 << 30}, {"stream", stream}}); }
};

TEST_F(LongTextTest, TheTextOfAClientThatLeftEnds) {
  for (const bool stream : {false, true}) {
    for (const bool reset : {false, true}) {
      const int socket = Ask(kChat, Forever(stream));
      WaitForRunning(1);
      if (stream) {
        EXPECT_THAT(Read(socket, "\"content\":\"H\""), HasSubstr("text/event-stream"));
      }
      if (reset) {
        const linger hard{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
      }
      ::close(socket);
      WaitForRunning(0);
      EXPECT_EQ(service().finished().back(), TextFinish::kCancelled);
    }
  }
}

TEST_F(LongTextTest, ASessionIsOneTextAtATime) {
  Post("/v1/sessions", {{"id", "s"}});
  const int socket = Ask(kChat, With(Forever(true), {{"session_id", "s"}}));
  WaitForRunning(1);
  EXPECT_EQ(Get("/v1/sessions/s")["busy"], true);
  EXPECT_THAT(Post(kChat, With(kHello, {{"session_id", "s"}}), 409)["error"]["message"].get<std::string>(),
              HasSubstr("busy"));
  ::close(socket);
  WaitForRunning(0);
}

class FewTextsTest : public LongTextTest {
 protected:
  FewTextsTest() : LongTextTest({}, std::chrono::milliseconds(1), 1) {}
};

TEST_F(FewTextsTest, TooManyTextsAreToldToComeBack) {
  const int socket = Ask(kChat, Forever(true));
  WaitForRunning(1);
  auto client = Client();
  const auto refused = client.Post(kChat, kHello.dump(), "application/json");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  EXPECT_EQ(Json::parse(refused->body)["error"]["code"], "rate_limit_exceeded");
  ::close(socket);
}

// A client that reads nothing is given up once its socket is full for as long as a write may take.
class SlowReaderTest : public LongTextTest {
 protected:
  SlowReaderTest() : LongTextTest({.write_time = std::chrono::milliseconds(300)}, std::chrono::milliseconds(0)) {}
};

TEST_F(SlowReaderTest, AReaderThatReadsNothingIsGivenUp) {
  const int socket = Ask(kChat, Forever(true));
  WaitForRunning(1);
  auto others = Stream(kChat, With(kHello, {{"max_tokens", 50}}));
  EXPECT_EQ(others.back()["choices"][0]["finish_reason"], "length");
  WaitForRunning(0);
  EXPECT_EQ(service().finished().back(), TextFinish::kCancelled);
  ::close(socket);
}

class DrainTest : public LongTextTest {
 protected:
  DrainTest() : LongTextTest({.drain_time = std::chrono::milliseconds(300)}) {}
};

TEST_F(DrainTest, StreamsEndProperlyAtShutdown) {
  const int endless = Ask(kChat, Forever(true)), whole = Ask(kChat, Forever(false));
  const int short_one = Ask(kChat, With(kHello, {{"stream", true}, {"max_tokens", 100}}));
  WaitForRunning(3);
  const auto start = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  const std::string cut = Read(endless);
  EXPECT_THAT(cut, HasSubstr("the server shuts down"));
  EXPECT_THAT(cut, ::testing::EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  EXPECT_THAT(Read(whole), HasSubstr("HTTP/1.1 503"));
  const std::string ended = Read(short_one);
  EXPECT_THAT(ended, HasSubstr("\"finish_reason\":\"length\""));
  EXPECT_THAT(ended, Not(HasSubstr("shuts down")));
  EXPECT_THAT(ended, ::testing::EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  for (const int socket : {endless, whole, short_one}) ::close(socket);
}

TEST_F(DrainTest, AStreamThatBeginsAtShutdownEndsProperly) {
  std::vector<int> sockets;
  for (int i = 0; i < 40; ++i) sockets.push_back(Ask(kChat, Forever(true)));
  for (int i = 0; i < 5000 && service().running() < 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Stop();
  int streams = 0;
  for (const int socket : sockets) {
    const std::string reply = Read(socket);
    if (reply.starts_with("HTTP/1.1 200")) {
      EXPECT_THAT(reply, ::testing::EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
      ++streams;
    }
    ::close(socket);
  }
  EXPECT_GE(streams, 20);
}

class KeysTest : public HttpTextServerTest {
 protected:
  KeysTest() : HttpTextServerTest({.keys = {"0123456789abcdef"}, .cors_origins = {"https://chat.example.org"}}) {}
};

TEST_F(KeysTest, OnlyKeysMayAsk) {
  EXPECT_EQ(Post(kChat, kHello, 401)["error"]["code"], nullptr);
  Get("/v1/sessions", 401);
  Get("/metrics", 401);
  Get("/nowhere", 401);
  Get("/health");
  auto client = Client();
  EXPECT_EQ(client.Get("/")->status, 200);
  client.set_bearer_token_auth("0123456789abcdeg");
  const auto wrong = client.Get("/v1/models");
  EXPECT_EQ(wrong->status, 401);
  EXPECT_EQ(Json::parse(wrong->body)["error"]["code"], "invalid_api_key");
  EXPECT_EQ(Client().Get("/v1/models", {{"Authorization", "bearer 0123456789abcdef"}})->status, 200);
  EXPECT_EQ(Client().Get("/v1/models", {{"X-Api-Key", "0123456789abcdef"}})->status, 200);
  client.set_bearer_token_auth("0123456789abcdef");
  EXPECT_EQ(client.Get("/v1/models")->status, 200);
  // A body that is refused is not the next request.
  client.set_keep_alive(true);
  client.set_bearer_token_auth("wrong");
  EXPECT_EQ(client.Post(kChat, "GET / HTTP/1.1\r\n\r\n", "text/plain")->status, 401);
  EXPECT_EQ(client.Get("/health")->status, 200);
}

TEST_F(KeysTest, PagesOfConfiguredOriginsMayAsk) {
  auto client = Client();
  const httplib::Headers page = {{"Origin", "https://chat.example.org"}},
                         evil = {{"Origin", "https://evil.example.org"}};
  const auto preflight = client.Options(kChat, page);
  ASSERT_TRUE(preflight);
  EXPECT_EQ(preflight->status, 204);
  EXPECT_EQ(preflight->get_header_value("Access-Control-Allow-Origin"), "https://chat.example.org");
  EXPECT_THAT(preflight->get_header_value("Access-Control-Allow-Headers"), HasSubstr("Authorization"));
  EXPECT_EQ(client.Options(kChat, evil)->status, 403);
  EXPECT_EQ(client.Get("/health", evil)->status, 403);
  EXPECT_FALSE(client.Get("/health")->has_header("Access-Control-Allow-Origin"));
  EXPECT_EQ(client.Get("/health", page)->get_header_value("Access-Control-Allow-Origin"), "https://chat.example.org");
}

class SmallBodiesTest : public HttpTextServerTest {
 protected:
  SmallBodiesTest() : HttpTextServerTest({.max_body = 10'000}) {}
};

TEST_F(SmallBodiesTest, ABodyIsBoundedHoweverItComes) {
  auto client = Client();
  const std::string large(20'000, ' ');
  for (const char* path : {kChat, "/v1/sessions/import", "/nowhere"}) {
    const auto named = client.Post(path, large, "application/json");
    ASSERT_TRUE(named) << httplib::to_string(named.error());
    EXPECT_EQ(named->status, 413) << path;
    EXPECT_THAT(named->body, HasSubstr("larger than 10000 bytes"));
    const auto chunked = client.Post(
        path,
        [&](size_t offset, httplib::DataSink& sink) {
          if (offset < large.size()) return sink.write(large.data(), 1000);
          sink.done();
          return true;
        },
        "application/json");
    ASSERT_TRUE(chunked) << httplib::to_string(chunked.error());
    EXPECT_EQ(chunked->status, 413) << path;
  }
  client.set_compress(true);
  const auto compressed = client.Post(kChat, large, "application/json");
  ASSERT_TRUE(compressed);
  EXPECT_EQ(compressed->status, 413);
  const auto parts = Client().Post(kChat, httplib::MultipartFormDataItems{{"a", "b", "", ""}});
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->status, 415);
  Post(kChat, kHello);
}

}  // namespace
}  // namespace radlads
