// What requests may take of the server's memory.
#include <gmock/gmock.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <string>
#include <thread>

#include "serve/http/testing.h"
#include "serve/transport/request_work.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kText[] = "/v1/completions";

struct WithWork {
  RequestWork work{1 << 20, std::chrono::milliseconds(0)};
};

// Texts that go on until their client leaves.
class RequestMemoryTest : WithWork, public HttpTextServerTest {
 protected:
  RequestMemoryTest()
      : HttpTextServerTest({.work = &work},
                           {.reply = std::vector<int64_t>(100'000, 40), .token_time = std::chrono::milliseconds(5)}) {}

  int64_t taken() { return work.memory().taken(); }
  std::string Message(const std::string& body, int want, const httplib::Headers& headers = {}) {
    auto client = Client();
    const auto reply = client.Post(kText, headers, body, "application/json");
    EXPECT_TRUE(reply) << httplib::to_string(reply.error());
    if (!reply) return "";
    EXPECT_EQ(reply->status, want) << reply->body;
    EXPECT_EQ(reply->has_header("Retry-After"), want == 503);
    return Json::parse(reply->body)["error"]["message"];
  }
};

std::string Gzip(std::string text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()), 0);
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = text.size();
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = packed.size();
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST_F(RequestMemoryTest, DeepAndWideBodiesAreRefusedWithThePlace) {
  const std::string deep(30 << 20, '[');
  EXPECT_THAT(Message(deep, 400), HasSubstr("nested more than 64 deep (at byte 65)"));
  EXPECT_THAT(Message(Gzip(deep), 400, {{"Content-Encoding", "gzip"}}), HasSubstr("(at byte 65)"));
  std::string wide = "[";
  while (wide.size() < 12 << 20) wide += "0,";
  EXPECT_THAT(Message(wide, 400), HasSubstr("more than 4000000 values"));
  EXPECT_EQ(taken(), 0);
}

TEST_F(RequestMemoryTest, WhatNeverFitsIsRefusedForGood) {
  EXPECT_THAT(Message(Json{{"prompt", std::string(100'000, 'a')}}.dump(), 400),
              HasSubstr("1.0 MiB for all requests together; send less at once"));
  std::string ids = "0";
  for (int i = 0; i < 20'000; ++i) ids += ",0";
  EXPECT_THAT(Message("{\"prompt\":[" + ids + "]}", 400), HasSubstr("send less at once"));
  EXPECT_EQ(taken(), 0);
}

TEST_F(RequestMemoryTest, PromptsCountAsLongAsTheirTextsGoOn) {
  const Json body = {{"prompt", std::string(20'000, 'a')}, {"max_tokens", 100'000}, {"stream", true}};
  const int socket = Ask(kText, body);
  WaitForRunning(1);
  const int64_t one = taken();
  EXPECT_GT(one, 0);
  EXPECT_LT(one, 200'000);
  std::vector<int> others;
  while (taken() + 32 * 20'000 < 1 << 20) {
    others.push_back(Ask(kText, body));
    WaitForRunning(static_cast<int64_t>(1 + others.size()));
  }
  EXPECT_EQ(taken(), static_cast<int64_t>(1 + others.size()) * one);
  EXPECT_THAT(Message(body.dump(), 503), HasSubstr("try again later"));
  for (const int other : others) ::close(other);
  ::close(socket);
  WaitForRunning(0);
  for (int i = 0; i < 1000 && taken() > 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(taken(), 0);
}

}  // namespace
}  // namespace radlads
