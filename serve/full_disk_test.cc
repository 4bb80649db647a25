// The program //serve:server on a small disk that fills up: what it answered with 200 is there after a SIGKILL, also
// while the disk is still full, and what keeps nothing is answered all the while. RADLADS_FILLS=20 in the environment
// fills so many disks in place of a few.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "serve/testing/small_served_model.h"
#include "testing/server_program.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kChat[] = "/v1/chat/completions";

Json Say(const std::string& text, const Json& more = Json::object()) {
  Json body = {{"messages", {{{"role", "user"}, {"content", text}}}}, {"temperature", 0}, {"max_tokens", 12}};
  body.update(more);
  return body;
}

class Server {
 public:
  explicit Server(const std::string& store)
      : program_("serve/server", {"--model", ::testing::TempDir() + "/model", "--store", store, "--listen",
                                  "127.0.0.1:0", "--threads", "1"}),
        client_("127.0.0.1", program_.Port()) {
    client_.set_read_timeout(120);
  }
  ServerProgram& program() { return program_; }

  // -> the status, and the reply.
  std::pair<int, Json> Post(const Json& body) { return Read(client_.Post(kChat, body.dump(), "application/json")); }
  std::pair<int, Json> Get(const std::string& path) { return Read(client_.Get(path)); }
  int Delete(const std::string& path) { return Read(client_.Delete(path)).first; }

 private:
  std::pair<int, Json> Read(const httplib::Result& reply) {
    EXPECT_TRUE(reply) << httplib::to_string(reply.error()) << "\n" << program_.Log();
    if (!reply) return {};
    return {reply->status, Json::parse(reply->body)};
  }
  ServerProgram program_;
  httplib::Client client_;
};

// What was answered: the text of each session, and what a text that goes on from it says.
struct Answered {
  Json text, next;
};

void ExpectAll(Server& server, const std::map<std::string, Answered>& answered) {
  for (const auto& [id, want] : answered) {
    const auto [found, text] = server.Get("/v1/sessions/" + want.text["id"].get<std::string>());
    EXPECT_EQ(found, 200) << text;
    EXPECT_EQ(text["text"], want.text["text"]);
    const auto [said, next] = server.Post(Say("more", {{"previous_response_id", id}}));
    EXPECT_EQ(said, 200) << next;
    EXPECT_EQ(next["choices"], want.next);
  }
}

void ExpectRefusals(Server& server) {
  const auto [kept, refused] = server.Post(Say("one more", {{"store", true}}));
  EXPECT_EQ(kept, 507) << refused;
  EXPECT_THAT(refused["error"]["message"].get<std::string>(), HasSubstr("make room on it"));
  EXPECT_EQ(server.Post(Say("hello")).first, 200);
  EXPECT_EQ(server.Get("/health").first, 200);
}

TEST(FullDiskServerTest, WhatWasAnsweredIsThereAndTheRestGoesOn) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  WriteSmallServedModel(::testing::TempDir() + "/model");
  const char* const asked = std::getenv("RADLADS_FILLS");
  const int fills = asked != nullptr ? std::atoi(asked) : 2;
  for (int fill = 0; fill < fills; ++fill) {
    std::mt19937_64 random(fill);
    const int64_t size = (4 << 20) + static_cast<int64_t>(random() % (8 << 20));
    SmallDisk disk(size);
    const std::string store = disk.path() + "/store";
    std::map<std::string, Answered> answered;
    {
      Server server(store);
      disk.FillBut(size / 16 + 100'000 + static_cast<int64_t>(random() % 200'000));
      for (int i = 0;; ++i) {
        const auto [status, reply] = server.Post(Say("hello " + std::to_string(i), {{"store", true}}));
        if (status == 507) break;
        ASSERT_EQ(status, 200) << reply;
        ASSERT_LT(i, 5000) << "the disk is never full";
        const std::string id = reply["id"], session = reply["state"]["session"];
        answered[id] = {.text = server.Get("/v1/sessions/" + session).second,
                        .next = server.Post(Say("more", {{"previous_response_id", id}})).second["choices"]};
        answered[id].text["id"] = session;
      }
      ExpectRefusals(server);
      if (random() % 2 == 0) {
        disk.FillBut(0);
        ExpectRefusals(server);
      }
      server.program().Signal(SIGKILL);
      EXPECT_EQ(server.program().ExitCode(), -SIGKILL) << server.program().Log();
    }
    EXPECT_GT(answered.size(), 0u);
    disk.FillBut(0);
    {
      Server server(store);
      ExpectAll(server, answered);
      ExpectRefusals(server);
      if (random() % 2 == 0) {
        disk.FillBut(INT64_MAX);
        EXPECT_EQ(server.Post(Say("at last", {{"store", true}})).first, 200) << server.program().Log();
        EXPECT_EQ(server.Delete("/v1/sessions/" + answered.begin()->second.text["id"].get<std::string>()), 200);
        answered.erase(answered.begin());
      }
      server.program().Signal(SIGTERM);
      EXPECT_EQ(server.program().ExitCode(), 0) << server.program().Log();
    }
    disk.FillBut(INT64_MAX);
    Server server(store);
    ExpectAll(server, answered);
    EXPECT_EQ(server.Post(Say("again", {{"store", true}})).first, 200) << server.program().Log();
  }
}

}  // namespace
}  // namespace radlads
