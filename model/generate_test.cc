#include "model/generate.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

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
  options.sampling.top_p = -0.1;
  EXPECT_THAT(message({5}, options), HasSubstr("top_p"));
  options.sampling = {.temperature = -1};
  EXPECT_THAT(message({5}, options), HasSubstr("temperature"));
  options.sampling = {.temperature = 1, .top_k = -1};
  EXPECT_THAT(message({5}, options), HasSubstr("top_k"));
}

}  // namespace
}  // namespace radlads
