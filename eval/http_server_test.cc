#include "eval/http_server.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/parallel_for.h"
#include "base/status.h"
#include "eval/completion_queue.h"
#include "eval/scorer.h"
#include "eval/testing.h"
#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    SetThreads(1);  // so small a model only loses by threads
    at::set_num_threads(1);
    model_->SetForInference();
    const absl::Status bound = server_.Bind();
    RADLADS_CHECK(bound.ok()) << bound;
    serving_ = std::thread([this] { served_ = server_.Serve(); });
    while (!Client().Get("/health")) std::this_thread::yield();
  }
  ~HttpServerTest() override {
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

  std::shared_ptr<Transformer> model_ = SmallModel("hybrid");
  std::shared_ptr<const Tokenizer> tokenizer_ = SmallTokenizer();
  std::unique_ptr<CompletionModel> queue_ = MakeCompletionQueue(*model_, tokenizer_, 64, 100);
  HttpServer server_{*queue_, tokenizer_, {.port = 0, .model_name = "small"}};
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
}

TEST_F(HttpServerTest, APortIsTakenOnce) {
  HttpServer other(*queue_, tokenizer_, {.port = server_.port()});
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

}  // namespace
}  // namespace radlads
