// The program //eval:server from the outside: how it ends, what it says when it cannot start, what clients do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "eval/testing.h"
#include "model/pretrained.h"
#include "model/testing.h"
#include "testing/server_program.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr char kProgram[] = "eval/server";

class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    RADLADS_CHECK(MakeDirectories(Model()).ok());
    const absl::Status saved = SaveTransformer(*SmallModel("rad_rwkv7"), Model(), at::kFloat, "");
    RADLADS_CHECK(saved.ok()) << saved;
    WriteSmallTokenizer(Model());
  }
  static std::string Model() { return ::testing::TempDir() + "/model"; }

  // A server of the model with these arguments, and its port.
  std::pair<std::unique_ptr<ServerProgram>, int> Start(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.end(), {"--model", Model(), "--port", "0", "--max_length", "4000", "--threads", "1"});
    auto server = std::make_unique<ServerProgram>(kProgram, arguments);
    const int port = server->Port();
    EXPECT_NE(port, 0) << server->Log();
    return {std::move(server), port};
  }

  static bool Answers(int port) {
    const auto health = httplib::Client("127.0.0.1", port).Get("/health");
    return health && health->status == 200;
  }

  // Scores of `count` prompts that share nothing.
  static std::string Work(int count) {
    std::mt19937 random(count);
    Json prompts = Json::array();
    for (int i = 0; i < count; ++i) {
      Json prompt = Json::array();
      for (int j = 0; j < 500; ++j) prompt.push_back(random() % 97);
      prompts.push_back(prompt);
    }
    return Json{{"prompt", prompts}, {"max_tokens", 1}, {"echo", true}, {"logprobs", 0}}.dump();
  }

  // A signal while a request of some seconds is under way.
  void ExpectDrains(int signal) {
    auto [server, port] = Start();
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(120);
    ASSERT_TRUE(client.Post("/v1/completions", Work(1), "application/json"));  // the first is slower
    const auto start = Clock::now();
    ASSERT_TRUE(client.Post("/v1/completions", Work(8), "application/json"));
    const std::chrono::duration<double> eight = Clock::now() - start;
    const int count = std::clamp<int>(8 * 4 / eight.count(), 8, 2000);

    auto reply = std::async([&] { return client.Post("/v1/completions", Work(count), "application/json"); });
    std::this_thread::sleep_for(std::chrono::seconds(1));
    server->Signal(signal);
    while (Answers(port)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(reply.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "refused only after the answer";
    const auto result = reply.get();
    ASSERT_TRUE(result) << httplib::to_string(result.error()) << "\n" << server->Log();
    EXPECT_EQ(result->status, 200);
    EXPECT_EQ(Json::parse(result->body)["choices"].size(), count);
    EXPECT_EQ(server->ExitCode(), 0) << server->Log();
    EXPECT_THAT(server->Log(), HasSubstr("finishing those under way"));
  }
};

TEST_F(ServerTest, SigtermAnswersWhatIsUnderWay) {
  ExpectDrains(SIGTERM);
}

TEST_F(ServerTest, SigintAnswersWhatIsUnderWay) {
  ExpectDrains(SIGINT);
}

TEST_F(ServerTest, APortThatIsTakenIsAnError) {
  const auto [server, port] = Start();
  ServerProgram second(kProgram, {"--model", Model(), "--port", std::to_string(port)});
  EXPECT_EQ(second.ExitCode(), 1);
  EXPECT_THAT(second.Log(), AllOf(HasSubstr("error: cannot listen on 127.0.0.1:" + std::to_string(port)),
                                  HasSubstr("Choose another port"), Not(HasSubstr("computing in"))));
  EXPECT_TRUE(Answers(port));
}

TEST_F(ServerTest, AModelThatIsNotWholeIsNotServed) {
  const std::string directory = ::testing::TempDir() + "/shards";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  for (const auto& file : std::filesystem::directory_iterator(TestData("tiny_hf/qwen2_sharded"))) {
    const std::string name = file.path().filename();
    if (name == "model-00003-of-00004.safetensors") continue;
    ASSERT_TRUE(WriteFileAtomically(JoinPath(directory, name), ReadFile(file.path()).value()).ok());
  }
  WriteSmallTokenizer(directory);
  ServerProgram shard_missing(kProgram, {"--model", directory, "--port", "0"});
  EXPECT_EQ(shard_missing.ExitCode(), 1);
  EXPECT_THAT(shard_missing.Log(), AllOf(HasSubstr("a shard is missing"), HasSubstr("model-00003-of-00004.safetensors"),
                                         HasSubstr("fetch it"), Not(HasSubstr("serving"))));
  ServerProgram no_model(kProgram, {"--model", directory + "/nothing", "--port", "0"});
  EXPECT_EQ(no_model.ExitCode(), 1);
  EXPECT_THAT(no_model.Log(), HasSubstr("no model at " + directory + "/nothing"));
}

TEST_F(ServerTest, FlagsThatAreWrongAreNamed) {
  ServerProgram unknown(kProgram, {"--model", Model(), "--prot", "1"});
  EXPECT_NE(unknown.ExitCode(), 0);
  EXPECT_THAT(unknown.Log(),
              AllOf(HasSubstr("there is no flag --prot; did you mean --port?"), Not(HasSubstr("serving"))));
  ServerProgram out_of_range(kProgram, {"--model", Model(), "--port", "65536"});
  EXPECT_NE(out_of_range.ExitCode(), 0);
  EXPECT_THAT(out_of_range.Log(), HasSubstr("--port must be 0 to 65535, found 65536"));
}

TEST_F(ServerTest, LivesOnAfterBadRequests) {
  const auto [server, port] = Start();
  httplib::Client client("127.0.0.1", port);
  client.set_read_timeout(60);
  const std::string deep = std::string(5'000'000, '[') + std::string(5'000'000, ']');
  const std::pair<std::string, const char*> bodies[] = {
      {R"({"max_tokens":1,"prompt":")" + std::string(10'000'000, 'a') + "\"}", "has 10000000 tokens"},
      {R"({"prompt":)" + deep + "}", "nested more than 64 deep (at byte"},
      {deep, "nested more than 64 deep (at byte"},
      {"[]", "expected an object"},
      {"{\"prompt\":", "not JSON"},
      {"", "not JSON"},
      {R"({"prompt":[]})", "empty list"},
      {R"({"prompt":"a","max_tokens":-1})", "max_tokens must be"},
      {R"({"prompt":[97]})", "token id 97 is outside"}};
  for (const auto& [body, want] : bodies) {
    const auto result = client.Post("/v1/completions", body, "application/json");
    ASSERT_TRUE(result) << want << ": " << httplib::to_string(result.error()) << "\n" << server->Log();
    EXPECT_EQ(result->status, 400) << want;
    EXPECT_THAT(Json::parse(result->body)["error"]["message"].get<std::string>(), HasSubstr(want));
    EXPECT_LT(result->body.size(), 1000u);
  }
  const auto chat =
      client.Post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}]})", "application/json");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->status, 400);
  EXPECT_THAT(chat->body, HasSubstr("no chat template"));
  EXPECT_TRUE(Answers(port));
}

TEST_F(ServerTest, ConnectionsThatSayNothingHoldUpNobody) {
  const auto [server, port] = Start({"--connections", "8"});
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<int> sockets;
  const auto open_half = [&](int count) {
    for (int i = 0; i < count; ++i) {
      sockets.push_back(::socket(AF_INET, SOCK_STREAM, 0));
      ASSERT_EQ(::connect(sockets.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
      // Nothing, a part of the header, a part of the body.
      const std::string part[] = {"", "POST /tokenize HT",
                                  "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"};
      ASSERT_EQ(::send(sockets.back(), part[i % 3].data(), part[i % 3].size(), 0), part[i % 3].size());
    }
  };
  open_half(7);
  const auto start = Clock::now();
  EXPECT_TRUE(Answers(port));
  // More than are worked on at once.
  open_half(7);
  EXPECT_TRUE(Answers(port));
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(3)) << "waited for the others";
  open_half(3);
  server->Signal(SIGTERM);
  EXPECT_EQ(server->ExitCode(), 0);
  for (const int socket : sockets) ::close(socket);
}

}  // namespace
}  // namespace radlads
