#include "model/generate.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

// Greedy tokens by running the whole sequence anew for each.
std::vector<int64_t> GreedyByRecomputation(Transformer& model, std::vector<int64_t> ids, int64_t count) {
  at::NoGradGuard no_grad;
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    const Tensor logits =
        model.Logits(model.Forward(at::tensor(ids, at::kLong).unsqueeze(0)).select(1, ids.size() - 1));
    tokens.push_back(logits.argmax(-1).item<int64_t>());
    ids.push_back(tokens.back());
  }
  return tokens;
}

const std::vector<int64_t> kPrompt = {5, 80, 3, 3, 17, 42, 96, 1, 2};

class GenerateTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GenerateTest, SplitEqualsWhole) {
  auto model = SmallModel(GetParam(), at::kDouble);
  const auto want = GreedyByRecomputation(*model, kPrompt, 20);
  for (int64_t chunk : {1, 4, 512}) {
    GenerateOptions options;
    options.max_tokens = 20;
    options.prompt_chunk = chunk;
    auto result = Generate(*model, kPrompt, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->tokens, want) << "prompt in pieces of " << chunk;
  }
}

TEST_P(GenerateTest, ContinuedConversationEqualsOne) {
  auto model = SmallModel(GetParam(), at::kDouble);
  const auto want = GreedyByRecomputation(*model, kPrompt, 12);
  GenerateOptions options;
  options.max_tokens = 7;
  ModelState state;
  auto first = Generate(*model, kPrompt, options, {}, &state);
  ASSERT_TRUE(first.ok()) << first.status();
  options.max_tokens = 5;
  auto second = Generate(*model, {first->unread}, options, {}, &state);
  ASSERT_TRUE(second.ok()) << second.status();
  std::vector<int64_t> got = first->tokens;
  got.insert(got.end(), second->tokens.begin(), second->tokens.end());
  EXPECT_EQ(got, want);
}

INSTANTIATE_TEST_SUITE_P(Models, GenerateTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

TEST(GenerateStateTest, StudentsStateDoesNotGrow) {
  auto model = SmallModel("rad_rwkv7");
  GenerateOptions options;
  options.max_tokens = 2;
  auto few = Generate(*model, kPrompt, options);
  options.max_tokens = 40;
  auto many = Generate(*model, kPrompt, options);
  ASSERT_TRUE(few.ok() && many.ok());
  EXPECT_GT(few->state_bytes, 0);
  EXPECT_EQ(few->state_bytes, many->state_bytes);
  EXPECT_EQ(many->token_seconds.size(), 39u);
}

TEST(GenerateStopTest, StopsAtStopIdsAndWhenToldTo) {
  auto model = SmallModel("rad_rwkv7", at::kDouble);
  const auto all = GreedyByRecomputation(*model, kPrompt, 10);
  GenerateOptions options;
  options.max_tokens = 10;
  options.stop_ids = {all[4]};
  const auto first = std::find(all.begin(), all.end(), all[4]) - all.begin();
  std::vector<int64_t> seen;
  auto result = Generate(*model, kPrompt, options, [&](int64_t id) {
    seen.push_back(id);
    return true;
  });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->stopped);
  EXPECT_EQ(result->unread, all[4]);
  EXPECT_EQ(result->tokens, std::vector<int64_t>(all.begin(), all.begin() + first));
  EXPECT_EQ(seen, result->tokens);

  options.stop_ids.clear();
  result = Generate(*model, kPrompt, options, [](int64_t) { return false; });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->tokens.size(), 1u);
  EXPECT_FALSE(result->stopped);
}

TEST(GenerateInputTest, BadInputIsNamed) {
  auto model = SmallModel("rad_rwkv7");
  const auto message = [&](const std::vector<int64_t>& prompt, const GenerateOptions& options) {
    auto result = Generate(*model, prompt, options);
    return result.ok() ? std::string("no error") : std::string(result.status().message());
  };
  GenerateOptions options;
  EXPECT_THAT(message({}, options), HasSubstr("no token"));
  EXPECT_THAT(message({5, 97}, options), HasSubstr("token id 97"));
  options.sampling.top_p = 0;
  EXPECT_THAT(message({5}, options), HasSubstr("top_p"));
  options.sampling = {.temperature = -1};
  EXPECT_THAT(message({5}, options), HasSubstr("temperature"));
  options.sampling = {.temperature = 1, .top_k = -1};
  EXPECT_THAT(message({5}, options), HasSubstr("top_k"));
}

// How often each id is drawn in `draws` samples.
std::map<int64_t, int> Draw(const SamplingOptions& options, const Tensor& logits, int draws) {
  TokenSampler sampler(options);
  std::map<int64_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    auto id = sampler.Sample(logits);
    EXPECT_TRUE(id.ok()) << id.status();
    if (id.ok()) ++counts[*id];
  }
  return counts;
}

TEST(TokenSamplerTest, GreedyTakesTheFirstOfEquals) {
  EXPECT_EQ(Draw({}, at::tensor({1.0f, 3.0f, 3.0f, 2.0f}), 3), (std::map<int64_t, int>{{1, 3}}));
}

TEST(TokenSamplerTest, FrequenciesFollowTheTemperedSoftmax) {
  const int draws = 20000;
  const auto counts =
      Draw({.temperature = 2, .seed = 3}, at::tensor({0.0, 2 * std::log(2.0), 2 * std::log(5.0)}), draws);
  const double want[] = {1.0 / 8, 2.0 / 8, 5.0 / 8};
  for (int64_t id = 0; id < 3; ++id) {
    const double deviation = std::sqrt(want[id] * (1 - want[id]) * draws);
    EXPECT_NEAR(counts.at(id), want[id] * draws, 4 * deviation) << id;
  }
}

TEST(TokenSamplerTest, TopKAndTopPKeepTheLikeliest) {
  const Tensor logits = at::log(at::tensor({0.1, 0.4, 0.2, 0.3}, at::kDouble));
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 2}, logits, 500).size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 2}, logits, 500).count(2), 0u);
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 50}, logits, 500).size(), 4u);
  // 0.4 + 0.3 reaches 0.65, so 0.2 and 0.1 are out; a tiny top_p keeps one token.
  EXPECT_EQ(Draw({.temperature = 1, .top_p = 0.65}, logits, 500).size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1, .top_p = 1e-9}, logits, 50), (std::map<int64_t, int>{{1, 50}}));
}

TEST(TokenSamplerTest, SeedDecidesTheTokens) {
  const Tensor logits = at::zeros({1000});
  const auto sequence = [&](uint64_t seed) {
    TokenSampler sampler({.temperature = 1, .seed = seed});
    std::vector<int64_t> ids;
    for (int i = 0; i < 8; ++i) ids.push_back(*sampler.Sample(logits));
    return ids;
  };
  EXPECT_EQ(sequence(1), sequence(1));
  EXPECT_NE(sequence(1), sequence(2));
  // floor(1000 u) of std::mt19937_64(1), whose first number is 2469588189546311528: the same on every machine.
  EXPECT_EQ(sequence(1)[0], 133);
}

TEST(TokenSamplerTest, NotANumberIsAnError) {
  EXPECT_EQ(TokenSampler({}).Sample(at::tensor({0.0f, NAN})).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(TokenSampler({}).Sample(at::full({2}, -INFINITY)).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace radlads
