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

class BatchesTest : public ::testing::Test {
 protected:
  BatchesTest() {
    const std::string prefix = ::testing::TempDir() + "/batches";
    auto writer = TokenDatasetWriter::Create(prefix, TokenType::kUint16);
    EXPECT_TRUE(writer.ok());
    std::vector<int32_t> document(101);
    for (int32_t i = 0; i < 101; ++i) document[i] = i;
    EXPECT_TRUE((*writer)->AddDocument(document).ok());
    EXPECT_TRUE((*writer)->Commit().ok());
    dataset_ = *TokenDataset::Open(prefix);
  }
  std::shared_ptr<const TokenDataset> dataset_;
};

TEST_F(BatchesTest, LabelsAreTheInputsShiftedByOne) {
  auto sampler = MagicPrimeSampler::Create(dataset_->tokens(), 8);
  ASSERT_TRUE(sampler.ok());
  const Batches batches(dataset_, *std::move(sampler), 8, 101);
  Batch batch;
  ASSERT_TRUE(batches.Read(5, 1, 3, &batch).ok());
  ASSERT_EQ(batch.inputs.size(), 24);
  ASSERT_EQ(batch.labels.size(), 24);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_EQ(batch.positions[row], batches.sampler().Position(5 + row));
    for (int64_t t = 0; t < 8; ++t) {
      EXPECT_EQ(batch.inputs[row * 8 + t], batch.positions[row] + t);
      EXPECT_EQ(batch.labels[row * 8 + t], batch.positions[row] + t + 1);
    }
  }
}

TEST_F(BatchesTest, ProcessesShareTheSamplesOfOne) {
  auto sampler = MagicPrimeSampler::Create(dataset_->tokens(), 8);
  ASSERT_TRUE(sampler.ok());
  const Batches batches(dataset_, *std::move(sampler), 8, 101);
  Batch whole, part;
  ASSERT_TRUE(batches.Read(12, 1, 6, &whole).ok());
  for (int64_t rank = 0; rank < 2; ++rank) {
    ASSERT_TRUE(batches.Read(12 + rank, 2, 3, &part).ok());
    for (int64_t row = 0; row < 3; ++row) EXPECT_EQ(part.positions[row], whole.positions[rank + 2 * row]);
  }
}

TEST_F(BatchesTest, NamesIdsOutsideOfTheVocabulary) {
  auto sampler = SequentialSampler::Create(dataset_->tokens(), 9);
  ASSERT_TRUE(sampler.ok());
  const Batches batches(dataset_, *std::move(sampler), 9, 42);
  Batch batch;
  EXPECT_TRUE(batches.Read(0, 1, 4, &batch).ok());
  const absl::Status status = batches.Read(3, 1, 2, &batch);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("token 42 (in sample 4) is 42, outside of the model's vocabulary of 42"));
}

TEST_F(BatchesTest, SequentialSamplesFollowEachOther) {
  auto sampler = SequentialSampler::Create(dataset_->tokens(), 9);
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
