#include "data/batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/shard_files.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kCtx = 8;

class BatchesTest : public ::testing::Test {
 protected:
  BatchesTest()
      : directory_(::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(directory_);
  }

  // Tokens first, first + 1, ... in documents of the given lengths.
  std::string Write(const std::string& name, int32_t first, const std::vector<int64_t>& documents,
                    TokenType type = TokenType::kUint16) {
    const std::string prefix = directory_ + "/" + name;
    auto writer = TokenDatasetWriter::Create(prefix, type);
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (const int64_t length : documents) {
      std::vector<int32_t> document(length);
      for (int32_t& token : document) token = first++;
      EXPECT_TRUE((*writer)->AddDocument(document).ok());
    }
    const absl::Status status = (*writer)->Commit();
    EXPECT_TRUE(status.ok()) << status;
    return prefix;
  }

  std::shared_ptr<const TokenSequence> Catalogued(const std::vector<std::string>& prefixes) {
    const std::string path = directory_ + "/catalog";
    {
      auto writer = CatalogWriter::Open(path);
      EXPECT_TRUE(writer.ok()) << writer.status();
      for (const std::string& prefix : prefixes) {
        auto shard = DescribeShard(prefix);
        EXPECT_TRUE(shard.ok()) << shard.status();
        const absl::Status added = (*writer)->Add("all", *shard);
        EXPECT_TRUE(added.ok()) << added;
      }
    }
    auto catalog = Catalog::Read(path);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    auto sequence = TokenSequence::OpenCataloged(*catalog, "all");
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    return *sequence;
  }

  std::shared_ptr<const SampleSource> Source(const std::string& prefix, SampleOrder order = SampleOrder::kMagicPrime,
                                             int64_t ctx = kCtx) {
    auto sequence = TokenSequence::OpenPair(prefix);
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    auto source = CreateLocalSource(*sequence, {.ctx = ctx, .order = order});
    EXPECT_TRUE(source.ok()) << source.status();
    return *source;
  }

  std::shared_ptr<const Batches> Make(std::vector<std::shared_ptr<const SampleSource>> sources,
                                      const std::vector<double>& weights, int64_t vocabulary = 65536) {
    auto batches = Batches::Create(std::move(sources), weights, 1, vocabulary);
    EXPECT_TRUE(batches.ok()) << batches.status();
    return *batches;
  }

  const std::string directory_;
};

TEST_F(BatchesTest, LabelsAreTheInputsShiftedByOne) {
  const auto source = Source(Write("a", 0, {101}));
  const auto batches = Make({source}, {1}, 101);
  Batch batch;
  ASSERT_TRUE(batches->Read(5, 1, 3, &batch).ok());
  ASSERT_EQ(batch.inputs.size(), 24);
  ASSERT_EQ(batch.labels.size(), 24);
  for (int64_t row = 0; row < 3; ++row) {
    const int64_t position = source->sampler().Position(5 + row);
    for (int64_t t = 0; t < kCtx; ++t) {
      EXPECT_EQ(batch.inputs[row * kCtx + t], position + t);
      EXPECT_EQ(batch.labels[row * kCtx + t], position + t + 1);
    }
  }
}

TEST_F(BatchesTest, NamesIdsOutsideOfTheVocabulary) {
  const auto batches = Make({Source(Write("a", 0, {101}), SampleOrder::kInOrder, 9)}, {1}, 42);
  Batch batch;
  EXPECT_TRUE(batches->Read(0, 1, 4, &batch).ok());
  const absl::Status status = batches->Read(3, 1, 2, &batch);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("token 42 (in sample 4) is 42, outside of the model's vocabulary of 42"));
}

// Shards of different token types, walked as one: the same samples as from one file.
TEST_F(BatchesTest, ShardsAreOneSequence) {
  const auto sequence = Catalogued({Write("a", 0, {30, 21}), Write("b", 51, {1}, TokenType::kInt32),
                                    Write("c", 52, {3, 0, 5}), Write("d", 60, {140}, TokenType::kInt64)});
  EXPECT_EQ(sequence->shards(), 4);
  auto shards = CreateLocalSource(sequence, {.ctx = kCtx});
  ASSERT_TRUE(shards.ok()) << shards.status();
  const auto many = Make({*shards}, {1}), one = Make({Source(Write("one", 0, {200}))}, {1});
  ASSERT_EQ(many->samples_per_pass(), one->samples_per_pass());
  Batch a, b;
  ASSERT_TRUE(many->Read(0, 1, 2 * one->samples_per_pass(), &a).ok());
  ASSERT_TRUE(one->Read(0, 1, 2 * one->samples_per_pass(), &b).ok());
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.inputs, b.inputs);
  std::vector<int32_t> whole(200);
  ASSERT_TRUE(sequence->Read(0, whole).ok());
  for (int32_t i = 0; i < 200; ++i) EXPECT_EQ(whole[i], i);
  EXPECT_TRUE(absl::IsOutOfRange(sequence->Read(1, whole)));
  EXPECT_TRUE(absl::IsOutOfRange(sequence->Read(-1, std::span(whole).first(1))));
}

TEST_F(BatchesTest, DocumentsBeginWhereTheyWereWritten) {
  const auto sequence = Catalogued({Write("a", 0, {30, 21}), Write("b", 51, {1}), Write("c", 52, {3, 0, 5, 40})});
  auto begins = [&](int64_t first, int64_t count) { return sequence->DocumentBegins(first, count).value(); };
  EXPECT_THAT(begins(0, 100), ElementsAre(0, 30, 51, 52, 55, 60));
  EXPECT_THAT(begins(0, 30), ElementsAre(0));
  EXPECT_THAT(begins(1, 30), ElementsAre(29));
  EXPECT_THAT(begins(40, 15), ElementsAre(11, 12));
  EXPECT_THAT(begins(52, 4), ElementsAre(0, 3));
  EXPECT_THAT(begins(61, 10), ElementsAre());
  EXPECT_TRUE(absl::IsOutOfRange(sequence->DocumentBegins(90, 11).status()));
}

class MixedBatchesTest : public BatchesTest {
 protected:
  MixedBatchesTest()
      : a_(Source(Write("a", 0, {1000}))),
        b_(Source(Write("b", 10'000, {2000}))),
        c_(Source(Write("c", 20'000, {500}))),
        mixed_(Make({a_, b_, c_}, {0.3, 0.6, 0.1})) {}
  std::shared_ptr<const SampleSource> a_, b_, c_;
  std::shared_ptr<const Batches> mixed_;
};

TEST_F(MixedBatchesTest, EachDatasetIsWalkedInItsOwnOrder) {
  Batch batch;
  ASSERT_TRUE(mixed_->Read(0, 1, 600, &batch).ok());
  int64_t next[3] = {0, 0, 0};
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t first = batch.inputs[row * kCtx], dataset = first / 10'000;
    const SampleSource& source = dataset == 0 ? *a_ : dataset == 1 ? *b_ : *c_;
    EXPECT_EQ(first % 10'000, source.sampler().Position(next[dataset])) << "row " << row;
    next[dataset] += 1;
    if (row % 10 == 9) {
      EXPECT_EQ(next[0], 3 * (row / 10 + 1));
      EXPECT_EQ(next[1], 6 * (row / 10 + 1));
      EXPECT_EQ(next[2], row / 10 + 1);
    }
  }
}

TEST_F(MixedBatchesTest, WorldSizeAndResumeChangeNothing) {
  Batch whole, part;
  ASSERT_TRUE(mixed_->Read(1234, 1, 120, &whole).ok());
  for (const int64_t world : {1, 2, 3, 5, 8}) {
    for (int64_t rank = 0; rank < world; ++rank) {
      const int64_t rows = 120 / world;
      ASSERT_TRUE(mixed_->Read(1234 + rank, world, rows, &part).ok());
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t t = 0; t < kCtx; ++t) {
          ASSERT_EQ(part.labels[row * kCtx + t], whole.labels[(rank + world * row) * kCtx + t])
              << "rank " << rank << " of " << world;
        }
      }
    }
  }
  // Made anew in the middle, as a resumed run does.
  const auto again = Make({a_, b_, c_}, {0.3, 0.6, 0.1});
  ASSERT_TRUE(again->Read(1234 + 60, 1, 60, &part).ok());
  EXPECT_TRUE(std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin() + 60 * (kCtx + 1)));
}

TEST_F(MixedBatchesTest, APassEndsBeforeAnythingIsRepeated) {
  const int64_t pass = mixed_->samples_per_pass();
  Batch batch;
  ASSERT_TRUE(mixed_->Read(0, 1, pass, &batch).ok());
  std::set<int64_t> seen;
  for (int64_t row = 0; row < pass; ++row) {
    EXPECT_TRUE(seen.insert(batch.inputs[row * kCtx]).second) << "row " << row << " of " << pass;
  }
  // One more sample of some dataset would be one too many.
  double most = 0;
  for (const DatasetPlan& plan : mixed_->Plan(pass + 1)) most = std::max(most, plan.passes);
  EXPECT_GT(most, 1);
}

TEST_F(MixedBatchesTest, ThePlanAddsUp) {
  const std::vector<DatasetPlan> plan = mixed_->Plan(1000);
  ASSERT_EQ(plan.size(), 3);
  EXPECT_DOUBLE_EQ(plan[1].share, 0.6);
  EXPECT_EQ(plan[0].samples, 300);
  EXPECT_EQ(plan[1].samples, 600);
  EXPECT_EQ(plan[2].samples, 100);
  EXPECT_EQ(plan[2].per_pass, c_->sampler().samples_per_pass());
  EXPECT_DOUBLE_EQ(plan[2].passes, 100.0 / plan[2].per_pass);
  EXPECT_THAT(mixed_->Where(0), HasSubstr(", token "));
}

}  // namespace
}  // namespace radlads
