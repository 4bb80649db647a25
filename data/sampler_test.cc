#include "data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

nlohmann::json Golden() {
  absl::StatusOr<std::string> contents = ReadFile("data/testdata/sampling.json");
  EXPECT_TRUE(contents.ok()) << contents.status();
  return nlohmann::json::parse(contents.value_or("{}"));
}

TEST(MagicPrimeTest, EqualsTheReference) {
  const nlohmann::json golden = Golden();
  ASSERT_EQ(golden["magic_primes"].size(), 20);
  for (const auto& entry : golden["magic_primes"]) {
    const absl::StatusOr<int64_t> prime = MagicPrime(entry["tokens"], entry["ctx"]);
    if (entry["magic_prime"].is_null()) {
      EXPECT_FALSE(prime.ok()) << entry;
      continue;
    }
    ASSERT_TRUE(prime.ok()) << prime.status() << " " << entry;
    EXPECT_EQ(*prime, entry["magic_prime"].get<int64_t>()) << entry;
    auto sampler = MagicPrimeSampler::Create(entry["tokens"], entry["ctx"]);
    ASSERT_TRUE(sampler.ok());
    EXPECT_EQ((*sampler)->factor(), entry["factor"].get<int64_t>()) << entry;
  }
}

TEST(MagicPrimeTest, PositionsEqualTheReference) {
  const nlohmann::json golden = Golden();
  ASSERT_EQ(golden["positions"].size(), 29);
  for (const auto& entry : golden["positions"]) {
    auto sampler = MagicPrimeSampler::Create(entry["tokens"], entry["ctx"]);
    ASSERT_TRUE(sampler.ok()) << sampler.status();
    const int64_t sample = entry["epoch"].get<int64_t>() * entry["samples_per_epoch"].get<int64_t>() +
                           entry["idx"].get<int64_t>() * entry["world"].get<int64_t>() + entry["rank"].get<int64_t>();
    EXPECT_EQ((*sampler)->Position(sample), entry["pos"].get<int64_t>()) << entry;
  }
}

TEST(MagicPrimeTest, TooLongAContextNamesTheLongest) {
  const absl::Status status = MagicPrime(1000, 512).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1000 tokens, too few for a context of 512"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("longest context this data allows is 333"));
  EXPECT_TRUE(MagicPrime(1000, 333).ok());
  EXPECT_FALSE(MagicPrime(1000, 334).ok());
  EXPECT_FALSE(MagicPrime(2, 1).ok());
  EXPECT_FALSE(MagicPrime(0, 1).ok());
  EXPECT_FALSE(MagicPrime(1000, 0).ok());
  EXPECT_FALSE(MagicPrime(1000, -5).ok());
  EXPECT_FALSE(MagicPrime(1000, std::numeric_limits<int64_t>::max()).ok());
}

TEST(MagicPrimeTest, APassVisitsEveryWindowOnceAndTheNextRepeatsIt) {
  for (const auto& [tokens, ctx] : {std::pair<int64_t, int64_t>(24, 8), {101, 8}, {100000, 64}, {1000000, 512}}) {
    auto sampler = MagicPrimeSampler::Create(tokens, ctx);
    ASSERT_TRUE(sampler.ok());
    const int64_t p = (*sampler)->samples_per_pass();
    std::set<int64_t> positions;
    for (int64_t s = 0; s < p; ++s) {
      const int64_t position = (*sampler)->Position(s);
      EXPECT_EQ(position % ctx, 0);
      EXPECT_LE(position + ctx + 1, tokens);
      positions.insert(position);
      EXPECT_EQ((*sampler)->Position(s + p), position);
    }
    EXPECT_EQ(positions.size(), p);
  }
}

TEST(MagicPrimeTest, APrimeThatIsGivenMustCoverTheData) {
  const int64_t tokens = 1500087317;  // of the reference's data
  auto given = MagicPrimeSampler::CreateWithPrime(tokens, 512, 2929793);
  ASSERT_TRUE(given.ok()) << given.status();
  auto derived = MagicPrimeSampler::Create(tokens, 512);
  ASSERT_TRUE(derived.ok());
  for (int64_t s = 0; s < 1000; ++s) EXPECT_EQ((*given)->Position(s), (*derived)->Position(s));
  for (const int64_t wrong : {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{2}, int64_t{2929792}, int64_t{2929799},
                              int64_t{1464917}, int64_t{2} << 40}) {
    const absl::Status status = MagicPrimeSampler::CreateWithPrime(tokens, 512, wrong).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("the largest is 2929793")) << wrong;
  }
}

TEST(SequentialSamplerTest, SamplesFollowEachOther) {
  auto sampler = SequentialSampler::Create(101, 9);
  ASSERT_TRUE(sampler.ok());
  EXPECT_EQ((*sampler)->samples_per_pass(), 10);
  EXPECT_EQ((*sampler)->Position(9), 90);
  EXPECT_TRUE(SequentialSampler::Create(101, 100).ok());
  const absl::Status status = SequentialSampler::Create(101, 101).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("longest context this data allows is 100"));
  EXPECT_FALSE(SequentialSampler::Create(101, std::numeric_limits<int64_t>::max()).ok());
  EXPECT_FALSE(SequentialSampler::Create(1, 1).ok());
}

}  // namespace
}  // namespace radlads
