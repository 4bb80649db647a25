#include "data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Mixture Make(const std::vector<double>& weights, uint64_t seed = 1) {
  auto mixture = Mixture::Create(weights, seed);
  EXPECT_TRUE(mixture.ok()) << mixture.status();
  return *mixture;
}

TEST(MixtureTest, OneDatasetIsItself) {
  const Mixture mixture = Make({0.3});
  for (const int64_t sample : {int64_t{0}, int64_t{1}, int64_t{12345}, int64_t{1} << 61}) {
    EXPECT_EQ(mixture.Of(sample).dataset, 0);
    EXPECT_EQ(mixture.Of(sample).sample, sample);
  }
}

TEST(MixtureTest, SharesAreTheWeightsInWholeNumbers) {
  EXPECT_THAT(Make({0.7, 0.2, 0.1}).shares(), ElementsAre(7, 2, 1));
  EXPECT_THAT(Make({5, 10}).shares(), ElementsAre(1, 2));
  EXPECT_THAT(Make({0.333333, 0.666667}).shares(), ElementsAre(333333, 666667));
  EXPECT_THAT(Make({0.00025, 1}).shares(), ElementsAre(1, 4000));
  const Mixture irrational = Make({std::sqrt(2.0), 1});
  EXPECT_NEAR(1.0 * irrational.shares()[0] / irrational.shares()[1], std::sqrt(2.0), 1e-8);
}

// The proportions hold exactly in every block of `period` samples, wherever it begins.
TEST(MixtureTest, EveryBlockHasExactlyTheShares) {
  for (const std::vector<double>& weights : std::vector<std::vector<double>>{
           {1, 1}, {1, 2}, {0.7, 0.2, 0.1}, {5, 3, 2, 1, 1}, {1, 97}, {13, 1, 1, 1, 7, 2, 40}}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const Mixture mixture = Make(weights, seed);
      for (const int64_t offset : {int64_t{0}, int64_t{1}, int64_t{17}, int64_t{1'000'003}, int64_t{1} << 60}) {
        std::vector<int64_t> counts(weights.size());
        for (int64_t i = 0; i < mixture.period(); ++i) counts[mixture.Of(offset + i).dataset] += 1;
        EXPECT_EQ(counts, mixture.shares()) << "seed " << seed << " from " << offset;
      }
    }
  }
}

// Each dataset's samples are 0, 1, 2, ... in the order in which they come, and Counts says how many came.
TEST(MixtureTest, NothingIsLeftOutOrRepeated) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Mixture mixture = Make({0.61, 0.0301, 0.3, 0.0599}, seed);
    std::vector<int64_t> next(4);
    for (int64_t i = 0; i < 30'000; ++i) {
      if (i % 997 == 0) {
        EXPECT_EQ(mixture.Counts(i), next) << "after " << i;
      }
      const Mixture::Place place = mixture.Of(i);
      ASSERT_EQ(place.sample, next[place.dataset]) << "sample " << i;
      next[place.dataset] += 1;
      // Never far from the proportion, not only at the ends of blocks.
      for (size_t d = 0; d < 4; ++d) {
        ASSERT_NEAR(next[d], (i + 1.0) * mixture.shares()[d] / mixture.period(), 2) << "sample " << i;
      }
    }
  }
}

TEST(MixtureTest, TheSeedMovesTheOrderAndNotTheProportions) {
  const Mixture a = Make({3, 2, 1}, 1), b = Make({3, 2, 1}, 2);
  int64_t different = 0;
  for (int64_t i = 0; i < 60; ++i) different += a.Of(i).dataset != b.Of(i).dataset;
  EXPECT_GT(different, 0);
  EXPECT_EQ(a.Counts(60), b.Counts(60));
}

TEST(MixtureTest, RefusesWhatIsNoWeight) {
  EXPECT_THAT(std::string(Mixture::Create({}, 1).status().message()), HasSubstr("no datasets"));
  for (const double wrong : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THAT(std::string(Mixture::Create({1, wrong}, 1).status().message()), HasSubstr("weight of dataset 1"));
  }
  EXPECT_THAT(std::string(Mixture::Create({1e300, 1}, 1).status().message()), HasSubstr("leave it out"));
}

}  // namespace
}  // namespace radlads
