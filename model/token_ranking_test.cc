#include "model/token_ranking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace radlads {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(int64_t count, float spread) {
  std::mt19937 random(static_cast<uint32_t>(count));
  std::normal_distribution<float> normal(3, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

struct Weighed {
  int64_t id;
  double weight;
};

// What a ranking is, in double.
std::vector<Weighed> Reference(const std::vector<float>& logits, double temperature, double min_p) {
  const float best = *std::max_element(logits.begin(), logits.end());
  std::vector<Weighed> tokens;
  for (size_t id = 0; id < logits.size(); ++id) {
    const double weight = std::exp((static_cast<double>(logits[id]) - best) / temperature);
    if (weight > std::exp(-60) && weight >= min_p) tokens.push_back({static_cast<int64_t>(id), weight});
  }
  std::stable_sort(tokens.begin(), tokens.end(), [&](auto a, auto b) { return logits[a.id] > logits[b.id]; });
  return tokens;
}

double Sum(const std::vector<Weighed>& tokens) {
  double sum = 0;
  for (const Weighed& token : tokens) sum += token.weight;
  return sum;
}

TokenRanking Rank(const std::vector<float>& logits, double temperature, double min_p = 0) {
  return TokenRanking(logits, *std::max_element(logits.begin(), logits.end()), temperature, min_p);
}

// Where each token of `want` begins, and ends, the ranking finds it.
void ExpectSame(TokenRanking& ranking, const std::vector<Weighed>& want, const std::string& what) {
  const double total = Sum(want);
  EXPECT_NEAR(ranking.total(), total, 1e-6 * total) << what;
  double sum = 0;
  const size_t step = std::max<size_t>(1, want.size() / 100);
  for (size_t i = 0; i < want.size(); ++i) {
    const double middle = (sum + want[i].weight / 2) / total;
    sum += want[i].weight;
    // Only what is not in the rounding of the sum can be told apart.
    if (i % step != 0 || want[i].weight < 1e-5 * total) continue;
    const auto* token = ranking.At(middle * ranking.total());
    ASSERT_NE(token, nullptr) << what;
    EXPECT_EQ(token->id, want[i].id) << what << ", rank " << i;
    EXPECT_NEAR(token->weight, want[i].weight, 2e-6 * want[i].weight) << what << ", rank " << i;
  }
}

TEST(LikeliestTokenTest, TheFirstOfTheLargestOrOfTheDamaged) {
  for (const int64_t count : {1, 255, 256, 257, 5000}) {
    std::vector<float> logits = RandomLogits(count, 1);
    const auto want = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(LikeliestToken(logits), want) << count;
    for (const int64_t at : {int64_t{0}, count / 2, count - 1}) {
      std::vector<float> changed = logits;
      changed[at] = changed.back() = 100;
      EXPECT_EQ(LikeliestToken(changed), at) << count;
      changed[at] = NAN;
      EXPECT_EQ(LikeliestToken(changed), at) << count;
    }
    EXPECT_EQ(LikeliestToken(std::vector<float>(count, -kInfinity)), 0) << count;
  }
}

TEST(TokenRankingTest, TokensAndWeightsAreThoseOfASort) {
  for (const int64_t count : {1, 2, 255, 257, 3000}) {
    for (const float spread : {0.0f, 0.1f, 3.0f, 40.0f}) {
      for (const double min_p : {0.0, 0.01, 1.0}) {
        for (const double temperature : {1e-30, 0.3, 1.0, 30.0}) {
          const auto logits = RandomLogits(count, spread);
          TokenRanking ranking = Rank(logits, temperature, min_p);
          ExpectSame(ranking, Reference(logits, temperature, min_p),
                     std::to_string(count) + " tokens, spread " + std::to_string(spread) + ", temperature " +
                         std::to_string(temperature) + ", min_p " + std::to_string(min_p));
        }
      }
    }
  }
}

TEST(TokenRankingTest, CutsKeepTheLikeliest) {
  for (const float spread : {0.0f, 0.1f, 3.0f}) {
    const auto logits = RandomLogits(3000, spread);
    for (const size_t count : {1, 40, 2999, 3000, 4000}) {
      for (const double share : {1e-9, 0.5, 0.9, 1.0}) {
        auto want = Reference(logits, 1, 0);
        want.resize(std::min(count, want.size()));
        const double wanted = share * Sum(want);
        size_t kept = share == 1 ? want.size() : 0;
        for (double sum = 0; kept < want.size() && sum < wanted;) sum += want[kept++].weight;
        want.resize(kept);
        TokenRanking ranking = Rank(logits, 1);
        ranking.KeepCount(count);
        ranking.KeepShare(share);
        std::set<int64_t> ids, want_ids;
        for (const Weighed& token : want) want_ids.insert(token.id);
        ranking.DropUnless([&](int64_t id) { return ids.insert(id).second; });
        // The weights' rounding may cut one token earlier or later.
        EXPECT_NEAR(ids.size(), want_ids.size(), share == 1 ? 0 : 1) << count << ", " << share << ", spread " << spread;
        const auto& [few, many] = std::minmax(ids, want_ids, [](auto& a, auto& b) { return a.size() < b.size(); });
        EXPECT_TRUE(std::includes(many.begin(), many.end(), few.begin(), few.end())) << count << ", " << share;
      }
    }
  }
}

TEST(TokenRankingTest, DroppedTokensAreNotFound) {
  const auto logits = RandomLogits(1000, 2);
  auto want = Reference(logits, 1, 0);
  TokenRanking ranking = Rank(logits, 1);
  // The likeliest has all of a large part of the weight; what is left must not be lost in the rounding.
  for (int i = 0; i < 5; ++i) {
    const auto* token = ranking.At(0);
    ASSERT_NE(token, nullptr);
    EXPECT_EQ(token->id, want.front().id);
    ranking.Drop(token);
    want.erase(want.begin());
  }
  ExpectSame(ranking, want, "five dropped");
  std::vector<int64_t> asked;
  ranking.DropUnless([&](int64_t id) {
    asked.push_back(id);
    return id % 7 == 3;
  });
  ASSERT_EQ(asked.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(asked[i], want[i].id) << "asked by rank, rank " << i;
  std::erase_if(want, [](const Weighed& token) { return token.id % 7 != 3; });
  ExpectSame(ranking, want, "every seventh kept");
  ranking.DropUnless([](int64_t) { return false; });
  EXPECT_EQ(ranking.At(0), nullptr);
}

TEST(TokenRankingTest, ExtremesOfLogitsAndTemperatures) {
  constexpr float kMost = 1e38f;
  const std::vector<float> logits = {-kInfinity, kMost, -kMost, 0, kMost};
  for (const double temperature : {1e-300, 1.0, 3e38}) {
    TokenRanking ranking = Rank(logits, temperature);
    EXPECT_EQ(ranking.At(0)->id, 1) << temperature;
    EXPECT_EQ(ranking.At(ranking.total() * (1 - 1e-15))->id, temperature < 2 ? 4 : 2) << temperature;
  }
}

}  // namespace
}  // namespace radlads
