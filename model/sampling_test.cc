#include "model/sampling.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace radlads {
namespace {

using ::testing::HasSubstr;

// How often each id is drawn in `draws` samples.
std::map<int64_t, int> Draw(const SamplingOptions& options, const at::Tensor& logits, int draws) {
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
  const at::Tensor logits = at::log(at::tensor({0.1, 0.4, 0.2, 0.3}, at::kDouble));
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 2}, logits, 500).size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 2}, logits, 500).count(2), 0u);
  EXPECT_EQ(Draw({.temperature = 1, .top_k = 50}, logits, 500).size(), 4u);
  // 0.4 + 0.3 reaches 0.65, so 0.2 and 0.1 are out; a tiny top_p keeps one token.
  EXPECT_EQ(Draw({.temperature = 1, .top_p = 0.65}, logits, 500).size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1, .top_p = 1e-9}, logits, 50), (std::map<int64_t, int>{{1, 50}}));
  EXPECT_EQ(Draw({.temperature = 1, .top_p = 0}, logits, 50), (std::map<int64_t, int>{{1, 50}}));
}

TEST(TokenSamplerTest, MinPDropsWhatIsMuchLessLikely) {
  const at::Tensor logits = at::log(at::tensor({0.1, 0.4, 0.19, 0.31}, at::kDouble));
  EXPECT_EQ(Draw({.temperature = 1, .min_p = 0.5}, logits, 500).count(2), 0u);
  EXPECT_EQ(Draw({.temperature = 1, .min_p = 0.5}, logits, 500).size(), 2u);
  EXPECT_EQ(Draw({.temperature = 1, .min_p = 1}, logits, 50), (std::map<int64_t, int>{{1, 50}}));
  // After the temperature: 0.4^(1/4) and 0.1^(1/4) are within a half of each other twice over.
  EXPECT_EQ(Draw({.temperature = 4, .min_p = 0.5}, logits, 500).size(), 4u);
}

TEST(TokenSamplerTest, BiasMovesATokenAndCanForbidOne) {
  const at::Tensor logits = at::tensor({1.0f, 3.0f, 2.5f});
  EXPECT_EQ(TokenSampler({.logit_bias = {{0, 2.5}}}).Sample(logits).value(), 0);
  EXPECT_EQ(TokenSampler({.logit_bias = {{1, -100}}}).Sample(logits).value(), 2);
}

TEST(TokenSamplerTest, OnlyAllowedTokensAreDrawn) {
  const auto allows = [](int64_t id) { return id % 2 == 1; };
  const at::Tensor logits = at::log(at::tensor({0.5, 0.1, 0.2, 0.05, 0.0, 0.15}, at::kDouble));
  EXPECT_EQ(TokenSampler({}).Sample(logits, allows).value(), 5);
  // The likeliest that is left, where the options leave none.
  EXPECT_EQ(TokenSampler({.temperature = 1, .top_k = 1}).Sample(logits, allows).value(), 5);
  EXPECT_EQ(TokenSampler({.temperature = 1, .top_p = 0.6}).Sample(logits, allows).value(), 5);
  TokenSampler sampler({.temperature = 1, .seed = 3});
  std::map<int64_t, int> counts;
  const int draws = 20000;
  for (int i = 0; i < draws; ++i) ++counts[sampler.Sample(logits, allows).value()];
  const std::map<int64_t, double> want = {{1, 1.0 / 3}, {3, 1.0 / 6}, {5, 1.0 / 2}};
  EXPECT_EQ(counts.size(), want.size());
  for (const auto& [id, share] : want) {
    EXPECT_NEAR(counts[id], share * draws, 4 * std::sqrt(share * (1 - share) * draws)) << id;
  }
  const auto none = sampler.Sample(logits, [](int64_t) { return false; });
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition) << none.status();
}

// All but one of 40,000 are refused; two are as likely as they were.
TEST(TokenSamplerTest, RareAllowedTokensAreFoundAndAllAllowedOnesChangeNothing) {
  at::manual_seed(4);
  const at::Tensor logits = at::randn({40000});
  int asked = 0;
  TokenSampler plain({.temperature = 1, .seed = 8}), all({.temperature = 1, .seed = 8}),
      rare({.temperature = 1, .seed = 8});
  for (int i = 0; i < 20; ++i) {
    const int64_t want = plain.Sample(logits).value();
    const auto everything = [&](int64_t) { return ++asked > 0; };
    EXPECT_EQ(all.Sample(logits, everything).value(), want);
    EXPECT_EQ(rare.Sample(logits, [](int64_t id) { return id == 12345; }).value(), 12345);
  }
  EXPECT_EQ(asked, 20);
  // One number of the seed for each token, however many were refused.
  EXPECT_EQ(rare.Sample(logits).value(), plain.Sample(logits).value());
}

// Greedy tokens of `count` steps at the same logits.
std::vector<int64_t> Steps(TokenSampler sampler, const at::Tensor& logits, int count) {
  std::vector<int64_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(sampler.Sample(logits).value());
  return ids;
}

TEST(TokenSamplerTest, PenaltiesCountWhatWasSampled) {
  const at::Tensor logits = at::tensor({3.0f, 2.5f, 1.0f});
  using Ids = std::vector<int64_t>;
  // Presence: 3 - 1 and 2.5 - 1 once sampled, whatever the number of times.
  EXPECT_EQ(Steps(TokenSampler({.presence_penalty = 1}), logits, 4), (Ids{0, 1, 0, 0}));
  // Frequency: 3, 2.5, 2, 1.5, then 1 for the first; token 1 falls alike.
  EXPECT_EQ(Steps(TokenSampler({.frequency_penalty = 1}), logits, 5), (Ids{0, 1, 0, 1, 0}));
  // Division above 0, multiplication below; the prompt counts too.
  EXPECT_EQ(Steps(TokenSampler({.repetition_penalty = 2}), logits, 3), (Ids{0, 1, 0}));
  TokenSampler sampler({.repetition_penalty = 2});
  sampler.Read(Ids{0, 0, 1});
  EXPECT_EQ(sampler.Sample(at::tensor({-1.0f, -3.0f, -2.5f})).value(), 0);  // -2, -6, -2.5
  EXPECT_EQ(sampler.Sample(at::tensor({-1.5f, -3.0f, -2.5f})).value(), 2);  // -3, -6, -2.5
}

TEST(TokenSamplerTest, ReplayedTokensCountAsSampled) {
  const at::Tensor logits = at::arange(50, at::kFloat) / 20;
  const SamplingOptions options = {.presence_penalty = 0.5, .frequency_penalty = 0.1, .temperature = 1, .seed = 11};
  TokenSampler whole(options);
  std::vector<int64_t> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(whole.Sample(logits).value());
  TokenSampler continued(options);
  for (int i = 0; i < 25; ++i) continued.Replay(ids[i]);
  for (int i = 25; i < 40; ++i) EXPECT_EQ(continued.Sample(logits).value(), ids[i]) << "token " << i;
}

// All 40,000 tokens are candidates and hardly any is needed, or all of them are.
TEST(TokenSamplerTest, ManyCandidatesInOrder) {
  at::manual_seed(4);
  const at::Tensor logits = at::randn({40000}), probability = at::softmax(logits.to(at::kDouble), 0);
  const auto sorted = probability.sort(/*stable=*/true, 0, /*descending=*/true);
  const at::Tensor cumulative = std::get<0>(sorted).cumsum(0);
  std::mt19937_64 random(8);
  TokenSampler sampler({.temperature = 1, .seed = 8});
  for (int i = 0; i < 30; ++i) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53;
    const int64_t place = (cumulative <= u).sum().item<int64_t>();
    EXPECT_EQ(sampler.Sample(logits).value(), std::get<1>(sorted)[place].item<int64_t>()) << "u " << u;
  }
}

TEST(SamplingOptionsTest, OptionsOutOfRangeAreNamed) {
  const auto message = [](const SamplingOptions& options) { return std::string(options.Check(10).message()); };
  EXPECT_EQ(message({}), "");
  EXPECT_THAT(message({.logit_bias = {{10, 1}}}), HasSubstr("token id 10"));
  EXPECT_THAT(message({.logit_bias = {{1, NAN}}}), HasSubstr("logit_bias of token 1"));
  EXPECT_THAT(message({.repetition_penalty = 0}), HasSubstr("repetition_penalty"));
  EXPECT_THAT(message({.presence_penalty = 2.1}), HasSubstr("presence_penalty"));
  EXPECT_THAT(message({.frequency_penalty = NAN}), HasSubstr("frequency_penalty"));
  EXPECT_THAT(message({.temperature = INFINITY}), HasSubstr("temperature"));
  EXPECT_THAT(message({.top_k = -1}), HasSubstr("top_k"));
  EXPECT_THAT(message({.top_p = 1.5}), HasSubstr("top_p"));
  EXPECT_THAT(message({.min_p = -0.1}), HasSubstr("min_p"));
}

TEST(TokenSamplerTest, SeedDecidesTheTokens) {
  const at::Tensor logits = at::zeros({1000});
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
