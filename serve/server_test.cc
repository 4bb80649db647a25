// The program //serve:server from the outside: a conversation outlives it, and what it says when it cannot start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "serve/testing/small_served_model.h"
#include "testing/server_program.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kProgram[] = "serve/server", kChat[] = "/v1/chat/completions";

class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { WriteSmallServedModel(Model()); }
  static std::string Model() { return ::testing::TempDir() + "/model"; }
  static std::string Store() { return ::testing::TempDir() + "/store"; }
  void SetUp() override { std::filesystem::remove_all(Store()); }

  std::pair<std::unique_ptr<ServerProgram>, int> Start(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(),
                     {"--model", Model(), "--store", Store(), "--listen", "127.0.0.1:0", "--threads", "1"});
    auto server = std::make_unique<ServerProgram>(kProgram, arguments);
    const int port = server->Port();
    EXPECT_NE(port, 0) << server->Log();
    return {std::move(server), port};
  }

  static Json Post(int port, const std::string& path, const Json& body, int want = 200) {
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(60);
    const auto reply = client.Post(path, body.dump(), "application/json");
    EXPECT_TRUE(reply) << httplib::to_string(reply.error());
    if (!reply) return {};
    EXPECT_EQ(reply->status, want) << reply->body;
    return Json::parse(reply->body);
  }
  static Json Say(const std::string& text, const Json& more) {
    Json body = {{"messages", {{{"role", "user"}, {"content", text}}}}, {"temperature", 0}, {"max_tokens", 12}};
    body.update(more);
    return body;
  }
};

// The same with and without an end of the server in between, however hard, and as the whole conversation without a
// session.
TEST_F(ServerTest, AConversationOutlivesTheServer) {
  Json first, second, branch;
  for (const int signal : {0, SIGTERM, SIGKILL}) {
    std::filesystem::remove_all(Store());
    auto [server, port] = Start();
    Post(port, "/v1/sessions", {{"id", "s"}});
    const Json reply = Post(port, kChat, Say("hello", {{"session_id", "s"}}));
    if (signal != 0) {
      server->Signal(signal);
      EXPECT_EQ(server->ExitCode(), signal == SIGTERM ? 0 : -SIGKILL) << server->Log();
      std::tie(server, port) = Start();
    }
    const Json from = Post(port, kChat, Say("other", {{"previous_response_id", reply["id"]}}))["choices"];
    const Json more = Post(port, kChat, Say("more", {{"session_id", "s"}}))["choices"];
    if (signal == 0) {
      first = reply["choices"];
      second = more;
      branch = from;
      const Json whole = {{{"role", "user"}, {"content", "hello"}},
                          {{"role", "assistant"}, {"content", first[0]["message"]["content"]}},
                          {{"role", "user"}, {"content", "more"}}};
      EXPECT_EQ(Post(port, kChat, Say("", {{"messages", whole}}))["choices"], second);
    }
    EXPECT_EQ(reply["choices"], first);
    EXPECT_EQ(from, branch);
    EXPECT_EQ(more, second);
  }
}

TEST_F(ServerTest, SigtermEndsStreamsProperly) {
  auto [server, port] = Start({"--drain_seconds", "1"});
  std::string stream;
  std::thread reader([&, port = port] {
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(60);
    httplib::Request request;
    request.method = "POST";
    request.path = kChat;
    request.body = Say("hello", {{"max_tokens", 1 << 30}, {"logit_bias", {{"0", -100}}}, {"stream", true}}).dump();
    request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
      if (stream.empty()) server->Signal(SIGTERM);
      stream.append(data, size);
      return true;
    };
    const auto result = client.send(request);
    EXPECT_TRUE(result) << httplib::to_string(result.error());
  });
  EXPECT_EQ(server->ExitCode(), 0) << server->Log();
  reader.join();
  EXPECT_THAT(stream, ::testing::EndsWith("data: [DONE]\n\n"));
  EXPECT_THAT(stream, HasSubstr("the server shuts down"));
}

// The first request that has the system message, and one that has another.
TEST_F(ServerTest, AWarmSystemMessageIsReadBeforeTheFirstRequest) {
  const std::string file = ::testing::TempDir() + "/system.txt";
  ASSERT_TRUE(WriteFileAtomically(file, "be brief\n").ok());
  const auto [server, port] = Start({"--warm", "model=" + file, "--active", "3"});
  EXPECT_THAT(server->Log(), HasSubstr("3 texts at once, with states of "));
  EXPECT_THAT(server->Log(), HasSubstr(", 48 more may wait; "));
  const auto cached = [&, port = port](const std::string& system) {
    const Json messages = {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", "hello"}}};
    return Post(port, kChat, Say("", {{"messages", messages}}))["usage"]["prompt_tokens_details"]["cached_tokens"];
  };
  EXPECT_EQ(cached("be brief"), 13);  // s:be brief<|end|>u:
  EXPECT_EQ(cached("be rude"), 0);
  httplib::Client client("127.0.0.1", port);
  EXPECT_EQ(client.Get("/health")->body, "{\"status\":\"ok\"}");
}

// Reading all of it would take minutes.
TEST_F(ServerTest, SigtermEndsTheWarmingUp) {
  const std::string file = ::testing::TempDir() + "/long.txt";
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "be brief ";
  ASSERT_TRUE(WriteFileAtomically(file, text).ok());
  ServerProgram server(
      kProgram, {"--model", Model(), "--store", Store(), "--listen", "127.0.0.1:0", "--threads", "1", "--warm", file});
  while (server.Log().find(": reads 1 warm texts") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto begun = std::chrono::steady_clock::now();
  server.Signal(SIGTERM);
  EXPECT_EQ(server.ExitCode(), 0) << server.Log();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  EXPECT_EQ(server.Log().find("warm after"), std::string::npos) << server.Log();
}

// Before the weights are read and the sessions' folder is made.
TEST_F(ServerTest, AnAddressThatCannotBeHadIsNamedAtOnce) {
  const auto [first, port] = Start({"--store_gib", "0.5"});
  const std::string taken = Concatenate("127.0.0.1:", port), other = ::testing::TempDir() + "/other_store";
  const std::string in_use = Concatenate("cannot listen on ", taken, ": port ", port, " is in use");
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"--listen", taken}, in_use},
      {{"--listen", "127.0.0.1:0", "--grpc_listen", taken}, in_use},
      {{"--listen", "192.0.2.1:0", "--no_keys"}, "192.0.2.1 is no address of this machine"},
      {{"--listen", "127.0.0.1:0", "--tls_cert", other, "--tls_key", other}, "the certificate cannot be used"}};
  for (auto [arguments, words] : cases) {
    arguments.insert(arguments.end(), {"--model", Model(), "--store", other, "--threads", "1"});
    ServerProgram server(kProgram, arguments);
    EXPECT_EQ(server.ExitCode(), 1);
    EXPECT_THAT(server.Log(), HasSubstr(words));
    EXPECT_THAT(server.Log(), ::testing::Not(HasSubstr("model model from"))) << "the weights were read";
    EXPECT_FALSE(std::filesystem::exists(other));
  }
}

TEST_F(ServerTest, WhatIsWrongIsNamed) {
  const std::string keys = ::testing::TempDir() + "/keys";
  ASSERT_TRUE(WriteFileAtomically(keys, "0123456789abcdef\n").ok());
  ASSERT_EQ(::chmod(keys.c_str(), 0644), 0);
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--listen", "0.0.0.0:0"}, "give it --key_file, or --no_keys"},
      {{"--listen", "127.0.0.256:0"}, "give it --key_file, or --no_keys"},
      {{"--listen", "somewhere"}, "--listen must be HOST:PORT"},
      {{"--listen", "127.0.0.1:0", "--key_file", keys}, "chmod 600"},
      {{"--listen", "127.0.0.1:0", "--tls_cert", keys, "--tls_key", keys}, "the certificate cannot be used"},
      {{"--listen", "127.0.0.1:0", "--model", Model()}, "two models are called model"},
      {{"--listen", "127.0.0.1:0", "--model", "model=" + Model()}, "names of their own: --model NAME=/"},
      {{"--listen", "127.0.0.1:0", "--model", "HuggingFaceTB/SmolLM2-135M"}, "hf download HuggingFaceTB/SmolLM2-135M"},
      {{"--port", "8080"}, "there is no flag --port; use --listen HOST:PORT"},
      {{"--listen", "127.0.0.1:0", "--store_gib", "0"}, "--store_gib must be more than 0, found 0"},
      {{"--listen", "127.0.0.1:0", "--warm", "other=" + keys}, "there is no model other"},
      {{"--listen", "127.0.0.1:0", "--warm", keys, "--cache_mib", "1", "--context", "5"}, "of the 5 that a text may"},
      {{"--listen", "127.0.0.1:0", "--model", "other=" + Model() + "/model.safetensors"}, "import_checkpoint"},
      {{"--listen", "127.0.0.1:0", "--tls_cert", keys}, "--tls_key"}};
  for (auto [arguments, words] : cases) {
    arguments.insert(arguments.end(), {"--model", Model(), "--store", Store(), "--threads", "1"});
    ServerProgram server(kProgram, arguments);
    EXPECT_NE(server.ExitCode(), 0) << words;
    EXPECT_THAT(server.Log(), HasSubstr(words));
  }
}

}  // namespace
}  // namespace radlads
