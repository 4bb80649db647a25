#include "distill/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/shard_files.h"
#include "data/dataset_info.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kTokenizer[] = "data/testdata/byte_tokenizer";

class TrainingDataTest : public ::testing::Test {
 protected:
  TrainingDataTest()
      : directory_(::testing::TempDir() + "/training-data-" +
                   ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(directory_);
    auto tokenizer = Tokenizer::Load(kTokenizer);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    info_.tokenizer = kTokenizer;
    info_.tokenizer_hash = (*tokenizer)->Hash();
    info_.vocabulary_size = (*tokenizer)->vocab_size();
    info_.eos_id = 0;
    model_.set_vocab_size(info_.vocabulary_size);
    model_.set_eos_token_id(0);
    config_.mutable_model()->set_ctx_len(8);
  }

  std::string Write(const std::string& name, int32_t id) {
    const std::string prefix = directory_ + "/" + name;
    auto writer = TokenDatasetWriter::Create(prefix, TokenType::kUint16);
    EXPECT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE((*writer)->AddDocument(std::vector<int32_t>(1000, id)).ok());
    info_.tokens = (*writer)->tokens();
    info_.documents = (*writer)->documents();
    EXPECT_TRUE((*writer)->Commit(info_.ToJson()).ok());
    return prefix;
  }
  std::string Error(const std::string& tokenizer_from = kTokenizer) {
    const auto batches = OpenTrainingData(config_, model_, tokenizer_from);
    return batches.ok() ? "no error" : std::string(batches.status().message());
  }
  void AddToMixture(const std::string& data_file, double weight) {
    DataMixtureEntry* entry = config_.mutable_train()->add_data_mixture();
    entry->set_data_file(data_file);
    entry->set_weight(weight);
  }

  const std::string directory_;
  DatasetInfo info_;
  ModelConfig model_;
  Config config_;
};

TEST_F(TrainingDataTest, OpensPairsAndCatalogsAsOne) {
  const std::string pair = Write("pair", 3);
  {
    auto writer = CatalogWriter::Open(directory_ + "/catalog");
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Add("made", *DescribeShard(pair)).ok());
  }
  config_.mutable_train()->set_data_file(pair);
  auto from_pair = OpenTrainingData(config_, model_, kTokenizer);
  ASSERT_TRUE(from_pair.ok()) << from_pair.status();
  config_.mutable_train()->set_data_file(directory_ + "/catalog/made");
  auto from_catalog = OpenTrainingData(config_, model_, kTokenizer);
  ASSERT_TRUE(from_catalog.ok()) << from_catalog.status();
  Batch a, b;
  ASSERT_TRUE((*from_pair)->Read(0, 1, 50, &a).ok());
  ASSERT_TRUE((*from_catalog)->Read(0, 1, 50, &b).ok());
  EXPECT_EQ(a.tokens, b.tokens);

  config_.mutable_train()->set_data_file(directory_ + "/catalog");
  EXPECT_THAT(Error(), AllOf(HasSubstr("train.data_file"), HasSubstr("is a catalog; name one of its datasets")));
  config_.mutable_train()->set_data_file(directory_ + "/catalog/mad");
  EXPECT_THAT(Error(), HasSubstr("did you mean made?"));
}

TEST_F(TrainingDataTest, AnotherTokenizerIsRefusedByBothNames) {
  info_.tokenizer = "tokenizers/of/somebody/else";
  info_.tokenizer_hash = "0123";
  config_.mutable_train()->set_data_file(Write("pair", 3));
  EXPECT_THAT(Error(), AllOf(HasSubstr("tokenizers/of/somebody/else (hash 0123"), HasSubstr(kTokenizer)));
  // Without the model's tokenizer, the number of ids decides.
  EXPECT_EQ(Error(""), "no error");
  info_.vocabulary_size = model_.vocab_size() + 1;
  config_.mutable_train()->set_data_file(Write("larger", 3));
  EXPECT_THAT(Error(""), AllOf(HasSubstr("tokenizers/of/somebody/else"), HasSubstr("a model of")));
}

TEST_F(TrainingDataTest, AddedTokensBeyondTheEmbeddingAreNoObstacle) {
  model_.set_vocab_size(info_.vocabulary_size - 1);
  config_.mutable_train()->set_data_file(Write("fits", 3));
  auto batches = OpenTrainingData(config_, model_, kTokenizer);
  ASSERT_TRUE(batches.ok()) << batches.status();
  Batch batch;
  EXPECT_TRUE((*batches)->Read(0, 1, 10, &batch).ok());
  config_.mutable_train()->set_data_file(Write("does_not", info_.vocabulary_size - 1));
  batches = OpenTrainingData(config_, model_, kTokenizer);
  ASSERT_TRUE(batches.ok()) << batches.status();
  EXPECT_THAT(std::string((*batches)->Read(0, 1, 10, &batch).message()), HasSubstr("outside of the model's vocabulary"));
}

TEST_F(TrainingDataTest, DocumentEndsMustBeVisibleWhereTheyCount) {
  config_.mutable_train()->set_data_file(Write("pair", 3));
  config_.mutable_train()->set_reset_at_document(true);
  EXPECT_EQ(Error(), "no error");
  model_.set_eos_token_id(5);
  EXPECT_THAT(Error(), HasSubstr("end with token 0, but train.reset_at_document cuts at model.eos_token_id 5"));
  info_.eos_id.reset();
  config_.mutable_train()->set_data_file(Write("unmarked", 3));
  EXPECT_THAT(Error(), HasSubstr("are not marked"));
  config_.mutable_train()->set_reset_at_document(false);
  EXPECT_EQ(Error(), "no error");
}

TEST_F(TrainingDataTest, MixesByWeight) {
  AddToMixture(Write("a", 1), 0.75);
  AddToMixture(Write("b", 2), 0.25);
  auto batches = OpenTrainingData(config_, model_, kTokenizer);
  ASSERT_TRUE(batches.ok()) << batches.status();
  Batch batch;
  ASSERT_TRUE((*batches)->Read(0, 1, 100, &batch).ok());
  EXPECT_EQ(std::count(batch.inputs.begin(), batch.inputs.end(), 1), 75 * 8);
  AddToMixture(directory_ + "/nothing", 1);
  EXPECT_THAT(Error(), AllOf(HasSubstr("train.data_mixture"), HasSubstr("nothing")));
}

TEST_F(TrainingDataTest, AMagicPrimeThatDoesNotFitIsRefused) {
  config_.mutable_train()->set_data_file(Write("pair", 3));
  config_.mutable_train()->set_magic_prime(2929793);
  EXPECT_THAT(Error(), HasSubstr("magic_prime is 2929793, expected a prime"));
}

}  // namespace
}  // namespace radlads
