#include "eval/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <prometheus/registry.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/status.h"
#include "eval/completion_model.h"
#include "eval/scorer.h"
#include "eval/served_model.h"
#include "eval/testing.h"
#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class HttpServerTest : public ::testing::Test {
 protected:
  explicit HttpServerTest(std::shared_ptr<Transformer> model = SmallModel("hybrid"), int64_t max_length = 100)
      : model_(std::move(model)),
        queue_(*ModelQueue::Create(*model_, {.batch_tokens = 64, .max_length = max_length}, metrics_)) {
    model_->SetForInference();
    const absl::Status bound = server_.Bind();
    RADLADS_CHECK(bound.ok()) << bound;
    serving_ = std::thread([this] { served_ = server_.Serve(); });
    while (!Client().Get("/health")) std::this_thread::yield();
  }
  ~HttpServerTest() override {
    if (serving_.joinable()) Stop();
  }

  void Stop() {
    server_.Shutdown();
    serving_.join();
    EXPECT_TRUE(served_.ok()) << served_;
  }

  httplib::Client Client() { return httplib::Client("127.0.0.1", server_.port()); }

  Json Post(const std::string& path, const Json& body, int want = 200) {
    auto client = Client();
    auto result = client.Post(path, body.dump(), "application/json");
    EXPECT_TRUE(result) << httplib::to_string(result.error());
    if (!result) return {};
    EXPECT_EQ(result->status, want) << result->body;
    return Json::parse(result->body);
  }

  // The sum that lm_eval makes of a choice, and whether it is greedy.
  static std::pair<double, bool> Read(const Json& choice, size_t context) {
    const Json& logprobs = choice["logprobs"];
    double sum = 0;
    bool greedy = true;
    for (size_t i = context; i + 1 < logprobs["token_logprobs"].size(); ++i) {
      const double logprob = logprobs["token_logprobs"][i];
      sum += logprob;
      double top = -1e30;
      for (const auto& [name, value] : logprobs["top_logprobs"][i].items()) top = std::max(top, value.get<double>());
      greedy = greedy && logprob == top;
    }
    return {sum, greedy};
  }

  prometheus::Registry metrics_;
  std::shared_ptr<Transformer> model_;
  std::shared_ptr<const Tokenizer> tokenizer_ =
      SmallTokenizer("{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}");
  std::unique_ptr<ModelQueue> queue_;
  std::unique_ptr<CompletionModel> completions_ = MakeCompletionModel(*queue_, tokenizer_);
  HttpServer server_{*completions_, tokenizer_, metrics_, {.port = 0, .model_name = "small"}};
  std::thread serving_;
  absl::Status served_;
};

TEST_F(HttpServerTest, ServedIsInProcess) {
  const std::vector<LoglikelihoodRequest> requests = {
      {{5, 6, 7}, {8}}, {{5, 6, 7}, {9, 10}}, {{1}, {2, 3, 4}}, {{30, 31, 32, 33, 34, 35, 36, 37, 38}, {1}}};
  auto want = (*MakeScorer(*SmallModel("hybrid"), *tokenizer_, {.max_length = 100}))->Loglikelihood(requests);
  ASSERT_TRUE(want.ok());
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&] {
      Json prompts = Json::array();
      for (const auto& request : requests) {
        std::vector<int64_t> ids = request.context;
        ids.insert(ids.end(), request.continuation.begin(), request.continuation.end());
        prompts.push_back(ids);
      }
      const Json reply = Post("/v1/completions", {{"model", "x"},
                                                  {"prompt", prompts},
                                                  {"temperature", 0},
                                                  {"max_tokens", 1},
                                                  {"logprobs", 1},
                                                  {"seed", 1234},
                                                  {"echo", true}});
      ASSERT_EQ(reply["choices"].size(), requests.size());
      for (size_t i = 0; i < requests.size(); ++i) {
        const Json& choice = reply["choices"][i];
        EXPECT_EQ(choice["index"], i);
        EXPECT_EQ(choice["logprobs"]["tokens"].size(), prompts[i].size() + 1);
        const auto [sum, greedy] = Read(choice, requests[i].context.size());
        EXPECT_NEAR(sum, (*want)[i].logprob, 1e-4);
        EXPECT_EQ(greedy, (*want)[i].is_greedy);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(HttpServerTest, TextContinuesAsTheScorerSays) {
  auto want = (*MakeScorer(*SmallModel("hybrid"), *tokenizer_, {.max_length = 100}))
                  ->GenerateUntil({{.prompt = {40, 41, 42}, .until = {}, .max_new_tokens = 12}});
  ASSERT_TRUE(want.ok());
  const Json body = {{"prompt", {40, 41, 42}}, {"temperature", 0}, {"max_tokens", 12}};
  EXPECT_EQ(Post("/v1/completions", body)["choices"][0]["text"], want->at(0));
  ASSERT_GT(want->at(0).size(), 4u);
  Json stopped = body;
  stopped["stop"] = {want->at(0).substr(2, 2), "never"};
  const Json choice = Post("/v1/completions", stopped)["choices"][0];
  EXPECT_EQ(choice["text"], want->at(0).substr(0, want->at(0).find(want->at(0).substr(2, 2))));
  EXPECT_EQ(choice["finish_reason"], "stop");
  Json scored = body;
  scored["logprobs"] = 2;
  scored["echo"] = true;
  const Json logprobs = Post("/v1/completions", scored)["choices"][0]["logprobs"];
  EXPECT_GE(logprobs["tokens"].size(), 3 + want->at(0).size());
  EXPECT_GE(logprobs["top_logprobs"][5].size(), 2u);
}

// Samplers and ends of a text that requests name, by what they do to the text.
TEST_F(HttpServerTest, SamplersAndEndsDoWhatTheySay) {
  const auto said = [&](Json json) {
    json.update({{"prompt", {1, 2, 3}}, {"temperature", 0}});
    if (!json.contains("max_tokens")) json["max_tokens"] = 6;
    const Json choice = Post("/v1/completions", json)["choices"][0];
    return choice["text"].get<std::string>() + " " + choice["finish_reason"].get<std::string>();
  };
  const Json likeliest = {{"40", 90}, {"41", 60}};  // "H", then "I"
  EXPECT_EQ(said({{"logit_bias", likeliest}}), "HHHHHH length");
  EXPECT_EQ(said({{"logit_bias", likeliest}, {"max_tokens", 1}}), "H length");
  EXPECT_EQ(said({{"logit_bias", likeliest}, {"repetition_penalty", 2}}).substr(0, 2), "HI");
  EXPECT_EQ(said({{"logit_bias", likeliest}, {"stop_token_ids", {40}}}), " stop");
  EXPECT_EQ(said({{"logit_bias", likeliest}, {"stop_token_ids", {40}}, {"min_tokens", 2}}), "II stop");
  EXPECT_EQ(said({{"logit_bias", likeliest}, {"stop", "HH"}, {"min_tokens", 3}}), "HH stop");
  const Json end = {{"0", 99}, {"40", 50}};
  EXPECT_EQ(said({{"logit_bias", end}}), " stop");
  EXPECT_EQ(said({{"logit_bias", end}, {"min_tokens", 1}}), "H stop");
  EXPECT_EQ(said({{"logit_bias", end}, {"ignore_eos", true}}), " length");
}

TEST_F(HttpServerTest, ChatIsTheCompletionOfItsTemplate) {
  const Json plain = Post("/v1/completions", {{"prompt", "hello>"}, {"temperature", 0}, {"max_tokens", 9}});
  const Json chat = Post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "hello"}}}},
                                                  {"temperature", 0},
                                                  {"max_tokens", 9},
                                                  {"logprobs", true},
                                                  {"top_logprobs", 2}});
  EXPECT_EQ(chat["choices"][0]["message"]["content"], plain["choices"][0]["text"]);
  EXPECT_EQ(chat["choices"][0]["finish_reason"], plain["choices"][0]["finish_reason"]);
  EXPECT_EQ(chat["usage"], plain["usage"]);
  const Json& content = chat["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), chat["usage"]["completion_tokens"]);
  for (const Json& token : content) {
    ASSERT_EQ(token["top_logprobs"].size(), 2u);
    EXPECT_EQ(token["top_logprobs"][0]["token"], token["token"]);  // at temperature 0 the likeliest
    EXPECT_EQ(token["top_logprobs"][0]["logprob"], token["logprob"]);
  }
  EXPECT_THAT(Post("/v1/chat/completions", {{"messages", "hello"}}, 400)["error"]["message"].get<std::string>(),
              HasSubstr("messages must be"));
}

TEST_F(HttpServerTest, ABodyIsBoundedHoweverItComes) {
  auto client = Client();
  const std::string large(65 << 20, ' ');
  for (const char* path : {"/tokenize", "/nowhere"}) {
    const auto named = client.Post(path, large, "application/json");
    ASSERT_TRUE(named) << httplib::to_string(named.error());
    EXPECT_EQ(named->status, 413);
    EXPECT_THAT(named->body, HasSubstr("larger than 67108864 bytes"));
    const auto chunked = client.Post(
        path,
        [&](size_t offset, httplib::DataSink& sink) {
          if (offset < large.size()) return sink.write(large.data(), 1 << 20);
          sink.done();
          return true;
        },
        "application/json");
    ASSERT_TRUE(chunked) << httplib::to_string(chunked.error());
    EXPECT_EQ(chunked->status, 413);
  }
  client.set_compress(true);
  const auto compressed = client.Post("/tokenize", large, "application/json");
  ASSERT_TRUE(compressed) << httplib::to_string(compressed.error());
  EXPECT_EQ(compressed->status, 413);
  const auto well = client.Post("/tokenize", R"({"prompt":"!"})", "application/json");
  ASSERT_TRUE(well) << httplib::to_string(well.error());
  EXPECT_EQ(well->body, R"({"tokens":[1],"count":1,"max_model_len":100})");
}

TEST_F(HttpServerTest, BadRequestsAreNamed) {
  auto client = Client();
  auto bad = client.Post("/v1/completions", "{\"prompt\":", "application/json");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 400);
  EXPECT_THAT(bad->body, HasSubstr("not JSON"));
  EXPECT_THAT(Post("/v1/completions", {{"prompt", {1, 500}}}, 400)["error"]["message"].get<std::string>(),
              HasSubstr("token id 500"));
  EXPECT_THAT(
      Post("/v1/completions", {{"prompt", std::string(10'000'000, 'a')}, {"max_tokens", 1}}, 400)["error"]["message"]
          .get<std::string>(),
      HasSubstr("has 10000000 tokens"));
  EXPECT_THAT(Post("/nowhere", Json::object(), 404)["error"]["message"].get<std::string>(),
              HasSubstr("/v1/completions"));
  Post("/health", Json::object(), 405);
  const auto wrong = client.Get("/tokenize");
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(wrong->get_header_value("Allow"), "POST");
  EXPECT_EQ(client.Post("/tokenize", {{"Content-Encoding", "br"}}, "{}", "application/json")->status, 415);
  EXPECT_EQ(client.Post("/tokenize", {{"Content-Encoding", "gzip"}}, "{}", "application/json")->status, 400);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", {1.0, 5.0}}, {"max_tokens", 1.0}})["usage"]["prompt_tokens"], 2);
}

TEST_F(HttpServerTest, APortIsTakenOnce) {
  HttpServer other(*completions_, tokenizer_, metrics_, {.port = server_.port()});
  const absl::Status bound = other.Bind();
  EXPECT_EQ(bound.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(bound.message()), HasSubstr("is another server there"));
}

TEST_F(HttpServerTest, SmallPaths) {
  auto client = Client();
  EXPECT_EQ(Json::parse(client.Get("/v1/models")->body)["data"][0]["id"], "small");
  EXPECT_EQ(Json::parse(client.Get("/tokenizer_info")->body)["eos_token"], "<|end|>");
  EXPECT_EQ(Post("/tokenize", {{"prompt", "!!"}, {"add_special_tokens", false}})["tokens"], Json({1, 1}));
  EXPECT_EQ(Post("/detokenize", {{"tokens", {1, 2}}})["prompt"], "!\"");
  const std::string metrics = client.Get("/metrics")->body;
  EXPECT_THAT(metrics, HasSubstr("radlads_eval_requests_total{code=\"200\",path=\"/tokenize\"} 1"));
}

// A client of this model can ask for more than anybody waits for.
class LongHttpServerTest : public HttpServerTest {
 protected:
  LongHttpServerTest() : HttpServerTest(EndlessModel(), 1 << 30) {}

  int Connect() {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    RADLADS_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    return socket;
  }
  // A request for a text of minutes on a socket of its own.
  int AskForever() {
    const std::string body = R"({"prompt": [1, 2], "max_tokens": 1000000, "temperature": 0})";
    const std::string request =
        Concatenate("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
    const int socket = Connect();
    RADLADS_CHECK(::send(socket, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()));
    return socket;
  }
};

TEST_F(LongHttpServerTest, WorkOfAClientThatLeftIsDropped) {
  const Json body = {{"prompt", {40, 41, 42}}, {"temperature", 0}, {"max_tokens", 12}};
  const Json want = Post("/v1/completions", body)["choices"];
  for (const bool reset : {false, true}) {
    const int socket = AskForever();
    WaitForMetric(metrics_, "radlads_eval_model_requests", "running", 1);
    auto patient = std::async(std::launch::async, [&] { return Post("/v1/completions", body)["choices"]; });
    WaitForMetric(metrics_, "radlads_eval_model_requests", "waiting", 1);
    if (reset) {
      const linger hard{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    ::close(socket);
    EXPECT_EQ(patient.get(), want);
    WaitForMetric(metrics_, "radlads_eval_model_requests", "running", 0);
    EXPECT_EQ(MetricValue(metrics_, "radlads_eval_model_requests_total", "cancelled"), 1 + reset);
    WaitForMetric(metrics_, "radlads_eval_requests_total", "499", 1 + reset);
  }
}

TEST_F(LongHttpServerTest, AConnectionServesManyRequests) {
  auto client = Client();
  client.set_keep_alive(true);
  for (int i = 0; i < 20; ++i) {
    auto result = client.Post("/tokenize", R"({"prompt": "!!"})", "application/json");
    ASSERT_TRUE(result) << httplib::to_string(result.error());
    EXPECT_EQ(result->status, 200);
  }
  // Two requests at once, and the replies in order.
  const int socket = Connect();
  const std::string two =
      "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  RADLADS_CHECK(::send(socket, two.data(), two.size(), 0) == static_cast<ssize_t>(two.size()));
  std::string reply;
  char buffer[4096];
  for (ssize_t got; (got = ::recv(socket, buffer, sizeof(buffer), 0)) > 0;) reply.append(buffer, got);
  ::close(socket);
  EXPECT_LT(reply.find("HTTP/1.1 200"), reply.find("HTTP/1.1 404"));
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 404"));
  // An idle connection does not hold up the end.
  const auto start = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

}  // namespace
}  // namespace radlads
