#include "eval/compare.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"

namespace radlads {
namespace {

using JsonValue = nlohmann::ordered_json;

JsonValue Results(double acc, double norm, double perplexity) {
  return {
      {"results",
       {{"quiz",
         {{"acc,none", acc}, {"acc_stderr,none", 0.02}, {"acc_norm,none", norm}, {"acc_norm_stderr,none", "N/A"}}},
        {"prose", {{"perplexity,none", perplexity}, {"acc,none", acc}}}}},
      {"versions", {{"quiz", 1}, {"prose", 1}}},
      {"n-shot", {{"quiz", 0}, {"prose", 0}}},
      {"n-samples", {{"quiz", {{"original", 9}, {"effective", 9}}}, {"prose", {{"original", 9}, {"effective", 9}}}}},
      {"higher_is_better",
       {{"quiz", {{"acc", true}, {"acc_norm", true}}}, {"prose", {{"perplexity", false}, {"acc", true}}}}},
      {"chance", {{"quiz", {{"acc", 0.25}, {"acc_norm", 0.25}}}, {"prose", {{"perplexity", 0}, {"acc", 0}}}}}};
}

std::string Write(const std::string& name, const JsonValue& json) {
  const std::string directory = testing::TempDir() + "/" + name;
  EXPECT_TRUE(MakeDirectories(directory).ok());
  EXPECT_TRUE(WriteFileAtomically(directory + "/results.json", json.dump()).ok());
  return directory;
}

TEST(Compare, GivesWhatIsKeptBeyondChance) {
  const auto comparison =
      CompareResults(Write("teacher", Results(0.75, 0.65, 10)), {Write("student/", Results(0.5, 0.45, 12))});
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  EXPECT_EQ(comparison->models, (std::vector<std::string>{"teacher", "student"}));
  ASSERT_EQ(comparison->metrics.size(), 4u);
  const ComparedMetric &acc = comparison->metrics[0], &norm = comparison->metrics[1],
                       &perplexity = comparison->metrics[2];
  EXPECT_DOUBLE_EQ(*acc.values[1].relative, 0.5);
  EXPECT_DOUBLE_EQ(*acc.values[0].relative, 1);
  EXPECT_EQ(acc.values[0].standard_error, 0.02);
  EXPECT_EQ(norm.values[0].standard_error, std::nullopt);
  EXPECT_FALSE(acc.headline);
  EXPECT_TRUE(norm.headline);
  EXPECT_DOUBLE_EQ(*perplexity.values[1].relative, 1.2);
  EXPECT_NEAR(comparison->average[1].value, (0.45 + 0.5) / 2, 1e-12);
  EXPECT_NEAR(*comparison->average[1].relative, (0.5 + 0.5 / 0.75) / 2, 1e-12);
  for (const std::string& text : {comparison->Table(), comparison->Html(), comparison->Json()}) {
    EXPECT_NE(text.find("quiz"), std::string::npos) << text;
  }
  EXPECT_NE(comparison->Table().find("50.0%"), std::string::npos) << comparison->Table();
  EXPECT_EQ(comparison->Html().find("http"), std::string::npos) << "the page needs no network";
}

TEST(Compare, ATeacherAtChanceHasNothingToKeep) {
  const auto comparison =
      CompareResults(Write("teacher", Results(0.25, 0.2, 10)), {Write("student", Results(0.5, 0.45, 12))});
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  EXPECT_EQ(comparison->metrics[0].values[1].relative, std::nullopt);
}

TEST(Compare, RefusesDifferentRuns) {
  const std::string teacher = Write("teacher", Results(0.75, 0.65, 10));
  JsonValue other = Results(0.5, 0.5, 10);
  other["n-shot"]["quiz"] = 5;
  const auto shots = CompareResults(teacher, {Write("student", other)});
  EXPECT_EQ(shots.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(shots.status().message().find("n-shot of quiz is 5, but 0"), absl::string_view::npos) << shots.status();
  EXPECT_EQ(CompareResults(teacher, {"no/such"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(CompareResults(teacher, {Write("student", {{"results", 1}})}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace radlads
