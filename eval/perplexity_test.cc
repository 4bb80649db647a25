#include "eval/perplexity.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/binidx.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

class PerplexityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    for (const char* kind : {"llama", "rad_rwkv7"}) {
      auto model = SmallModel(kind);
      ASSERT_TRUE(MakeDirectories(directory_ + "/" + kind).ok());
      const absl::Status saved = SaveTransformer(*model, directory_ + "/" + kind, at::kFloat, "");
      ASSERT_TRUE(saved.ok()) << saved;
    }
    auto writer = TokenDatasetWriter::Create(directory_ + "/data", TokenType::kUint16);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int document = 0; document < 4; ++document) {
      std::vector<int32_t> tokens;
      for (int i = 0; i < 25; ++i) tokens.push_back((i * i * 7 + document * 13) % 97);
      for (int32_t id : tokens) ids_.push_back(id);
      ASSERT_TRUE((*writer)->AddDocument(tokens).ok());
    }
    ASSERT_TRUE((*writer)->Commit().ok());
    options_.models = {{"teacher", directory_ + "/llama"}, {"student", directory_ + "/rad_rwkv7"}};
    options_.data = directory_ + "/data";
    options_.ctx = 16;
  }

  std::string directory_;
  std::vector<int64_t> ids_;
  PerplexityOptions options_;
};

TEST_F(PerplexityTest, ScoresTheSameTokensWithEveryModel) {
  auto report = MeasurePerplexity(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 2u);
  auto windows = CutWindows(ids_, 16, 0);
  ASSERT_TRUE(windows.ok());
  for (int i : {0, 1}) {
    auto want = ScoreWindows(*SmallModel(i == 0 ? "llama" : "rad_rwkv7"), *windows, 1);
    ASSERT_TRUE(want.ok());
    EXPECT_EQ(report->rows[i].score.tokens, 5 * 16);
    EXPECT_NEAR(report->rows[i].score.Mean(), want->Mean(), 1e-5);
  }
  EXPECT_EQ(report->rows[0].ratio, 1);
  EXPECT_NEAR(report->rows[1].ratio, report->rows[1].score.Perplexity() / report->rows[0].score.Perplexity(), 1e-9);
  EXPECT_THAT(report->Table(), HasSubstr("teacher"));
  const std::string html = report->Html();
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">teacher</th>"));
  EXPECT_THAT(html, HasSubstr("width:100.00%")) << "no bar is as long as there is room";
  EXPECT_EQ(html.find("http"), std::string::npos) << "the page needs no network";
  const auto json = nlohmann::json::parse(report->Json());
  EXPECT_EQ(json["ctx"], 16);
  EXPECT_EQ(json["models"][1]["name"], "student");
  EXPECT_NEAR(json["models"][1]["perplexity"], std::exp(report->rows[1].score.Mean()), 1e-9);
}

TEST_F(PerplexityTest, TokensAreRoundedUpToWholeWindows) {
  options_.tokens = 17;
  auto report = MeasurePerplexity(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->rows[0].score.tokens, 32);
}

TEST_F(PerplexityTest, ContextLongerThanTheDataIsNamed) {
  options_.ctx = 100;
  auto report = MeasurePerplexity(options_);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(std::string(report.status().message()),
              HasSubstr("there are 100 tokens, a window of context 100 needs 101"));
}

TEST_F(PerplexityTest, MissingThingsAreNamed) {
  PerplexityOptions options = options_;
  options.data = directory_ + "/absent";
  EXPECT_THAT(std::string(MeasurePerplexity(options).status().message()), HasSubstr("absent"));
  options = options_;
  options.models[1].path = directory_ + "/absent";
  EXPECT_THAT(std::string(MeasurePerplexity(options).status().message()), HasSubstr("absent"));
  options = options_;
  options.data = "";
  EXPECT_EQ(MeasurePerplexity(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.text = directory_ + "/text.txt";
  EXPECT_THAT(std::string(MeasurePerplexity(options).status().message()), HasSubstr("no tokenizer.json"));
}

}  // namespace
}  // namespace radlads
