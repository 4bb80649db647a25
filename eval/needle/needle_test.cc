#include "eval/needle/needle.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/file.h"
#include "eval/compare.h"
#include "eval/tasks/fake_scorer.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;
using Cell = std::pair<int64_t, double>;

constexpr double kKnown = -0.25, kUnknown = -2;  // logarithms of the probability of a token

// Finds the numbers of given samples in given cells. It is told the prompts, and knows an answer by their ids.
class FindingScorer : public FakeScorer {
 public:
  FindingScorer(const Tokenizer& tokenizer, const std::vector<NeedlePrompt>& prompts, const std::set<Cell>& cells,
                int64_t samples)
      : FakeScorer(0) {
    for (const NeedlePrompt& prompt : prompts) {
      if (!cells.contains({prompt.length, prompt.depth}) || prompt.sample >= samples) continue;
      values_[prompt.ids] = prompt.value;
      ids_[prompt.ids] = NeedleAnswerIds(prompt.value, tokenizer);
    }
  }

  absl::StatusOr<std::vector<LoglikelihoodResult>> Loglikelihood(
      const std::vector<LoglikelihoodRequest>& requests, const ScorerCallback<LoglikelihoodResult>& done) override {
    return Each<LoglikelihoodResult>(requests, done, [&](const LoglikelihoodRequest& request) {
      const auto found = ids_.find(request.context);
      const bool known = found != ids_.end() && found->second == request.continuation;
      return LoglikelihoodResult{.logprob =
                                     (known ? kKnown : kUnknown) * static_cast<double>(request.continuation.size())};
    });
  }
  absl::StatusOr<std::vector<std::string>> GenerateUntil(const std::vector<GenerateRequest>& requests,
                                                         const ScorerCallback<std::string>& done) override {
    return Each<std::string>(requests, done, [&](const GenerateRequest& request) {
      const auto found = values_.find(request.prompt);
      return found == values_.end() ? std::string(" 0000000.") : " " + found->second + ", as I said";
    });
  }
  int64_t max_length() const override { return 100000; }

 private:
  std::map<std::vector<int64_t>, std::string> values_;
  std::map<std::vector<int64_t>, std::vector<int64_t>> ids_;
};

class NeedleTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/smollm2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    std::string text;
    for (int i = 0; i < 100; ++i) text += "The train of day " + std::to_string(i) + " was late again. ";
    haystack_ = std::make_unique<Haystack>(Haystack::FromText(text, *tokenizer_));
    directory_ = testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }
  std::string JournalPath() const { return directory_ + "/requests.jsonl"; }
  FindingScorer Finder(const std::set<Cell>& cells, int64_t samples = 4) const {
    return FindingScorer(*tokenizer_, *MakeNeedlePrompts(options_, *haystack_, *tokenizer_), cells, samples);
  }
  absl::StatusOr<NeedleResult> Run(Scorer& scorer) const {
    auto journal = ResponseJournal::Open(JournalPath(), "fake");
    EXPECT_TRUE(journal.ok()) << journal.status();
    return RunNeedle(options_, *haystack_, *tokenizer_, scorer, **journal);
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<Haystack> haystack_;
  std::string directory_;
  NeedleOptions options_{.lengths = {200, 400}, .depths = {0, 0.5, 1}, .samples = 4, .choices = 5};
};

TEST_F(NeedleTest, FindsWhatTheModelFindsCellByCell) {
  const std::set<Cell> known = {{200, 0.5}, {400, 0}, {400, 1}};
  FindingScorer scorer = Finder(known);
  const auto result = Run(scorer);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->lengths, (std::vector<int64_t>{200, 400}));
  EXPECT_EQ(result->depths, (std::vector<double>{0, 0.5, 1}));
  for (const int64_t length : result->lengths) {
    for (const double depth : result->depths) {
      SCOPED_TRACE(testing::Message() << length << " tokens, depth " << depth);
      const bool finds = known.contains({length, depth});
      EXPECT_EQ(result->Mean(kNeedleExactMatch, length, depth).value, finds);
      EXPECT_EQ(result->Mean(kNeedleAcc, length, depth).value, finds) << "equally likely is not likeliest";
      EXPECT_DOUBLE_EQ(result->Mean(kNeedleLogprob, length, depth).value, finds ? kKnown : kUnknown);
      EXPECT_EQ(result->Mean(kNeedleAcc, length, depth).standard_error, 0.0);
    }
  }
  EXPECT_DOUBLE_EQ(result->Mean(kNeedleAcc, 200, std::nullopt).value, 1 / 3.0);
  EXPECT_DOUBLE_EQ(result->Mean(kNeedleAcc, std::nullopt, 0.0).value, 0.5);
  EXPECT_DOUBLE_EQ(result->Mean(kNeedleAcc, std::nullopt, std::nullopt).value, 0.5);
  EXPECT_EQ(result->Chance(kNeedleAcc), 0.2);
  EXPECT_EQ(result->Chance(kNeedleExactMatch), 0);
  EXPECT_EQ(result->Table(), R"(exact_match: the first number of the answer is the hidden one
depth \ length      200      400      all
             0    0.000    1.000    0.500
           0.5    1.000    0.000    0.500
             1    0.000    1.000    0.500
           all    0.333    0.667    0.500

acc: the hidden number is the likeliest of 5 (chance 0.2)
depth \ length      200      400      all
             0    0.000    1.000    0.500
           0.5    1.000    0.000    0.500
             1    0.000    1.000    0.500
           all    0.333    0.667    0.500

logprob: of the hidden number, by token
depth \ length      200      400      all
             0   -2.000   -0.250   -1.125
           0.5   -0.250   -2.000   -1.125
             1   -2.000   -0.250   -1.125
           all   -1.417   -0.833   -1.125
)");
}

TEST_F(NeedleTest, StandardErrorsAreThoseOfSamples) {
  FindingScorer scorer = Finder({{200, 0}, {200, 0.5}}, 1);  // of 4
  const auto result = Run(scorer);
  ASSERT_TRUE(result.ok()) << result.status();
  const NeedleValue cell = result->Mean(kNeedleAcc, 200, 0.0), row = result->Mean(kNeedleAcc, 200, std::nullopt);
  EXPECT_EQ(cell.value, 0.25);
  EXPECT_DOUBLE_EQ(*cell.standard_error, 0.25);  // sample deviation 1/2, over sqrt(4)
  EXPECT_DOUBLE_EQ(row.value, 1 / 6.0);
  EXPECT_DOUBLE_EQ(*row.standard_error, 1 / 6.0) << "twelve prompts, but four samples";
}

TEST_F(NeedleTest, AStoppedRunGoesOn) {
  const std::set<Cell> known = {{400, 0.5}};
  FindingScorer whole = Finder(known);
  const auto expected = Run(whole);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(whole.answered, 2 * 3 * 4 * (1 + 5));

  std::filesystem::remove(JournalPath());
  FindingScorer failing = Finder(known);
  failing.fail_after = 31;
  EXPECT_EQ(Run(failing).status().code(), absl::StatusCode::kDataLoss);
  std::ofstream(JournalPath(), std::ios::app) << "{\"request\":\"cut o";  // as a crash leaves it

  FindingScorer rest = Finder(known);
  const auto resumed = Run(rest);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(rest.answered, whole.answered - 31);
  EXPECT_EQ(resumed->Table(), expected->Table());

  // More samples: only they are asked for.
  options_.samples = 5;
  FindingScorer more = Finder(known);
  ASSERT_TRUE(Run(more).ok());
  EXPECT_EQ(more.answered, 2 * 3 * (1 + 5));
}

TEST_F(NeedleTest, WritesWhatCompareReads) {
  const auto write = [&](const std::string& name, const std::set<Cell>& known) {
    std::filesystem::remove(JournalPath());
    FindingScorer scorer = Finder(known);
    const auto result = Run(scorer);
    EXPECT_TRUE(result.ok()) << result.status();
    const std::string directory = directory_ + "/" + name;
    EXPECT_TRUE(MakeDirectories(directory).ok());
    EXPECT_TRUE(WriteNeedleResults(*result, directory, name, {{"haystack", "trains"}}).ok());
    return directory;
  };
  const std::string teacher = write("teacher", {{200, 0}, {200, 0.5}, {200, 1}, {400, 1}});
  const std::string student = write("student", {{200, 0.5}});
  const Json results = Json::parse(std::ifstream(teacher + "/results.json"));
  EXPECT_EQ(results["results"]["needle_200_0.5"]["exact_match,none"], 1.0);
  EXPECT_EQ(results["results"]["needle_400_0"]["acc,none"], 0.0);
  EXPECT_EQ(results["results"]["needle_400_0"]["sample_len"], 4);
  EXPECT_EQ(results["group_subtasks"]["needle"].size(), 6u);
  EXPECT_EQ(results["chance"]["needle_400_0"]["acc"], 0.2);
  EXPECT_EQ(results["n-samples"]["needle"]["effective"], 24);
  EXPECT_EQ(results["config"]["haystack"], "trains");

  std::ifstream lines(teacher + "/samples_needle.jsonl");
  int64_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json sample = Json::parse(line);
    EXPECT_EQ(sample["doc_id"], count);
    EXPECT_EQ(sample["resps"][1].size(), 5u) << line;
    const bool found = sample["resps"][0][0].get<std::string>().find(sample["target"]) != std::string::npos;
    EXPECT_EQ(sample["exact_match"], found ? 1.0 : 0.0) << line;
  }
  EXPECT_EQ(count, 24);

  const auto comparison = CompareResults(teacher, {student});
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  std::map<std::string, std::optional<double>> kept;
  for (const ComparedMetric& metric : comparison->metrics) {
    if (metric.metric == "acc") kept[metric.task] = metric.values[1].relative;
  }
  EXPECT_EQ(kept.at("needle_200_0.5"), 1.0);
  EXPECT_DOUBLE_EQ(kept.at("needle_200_0").value(), (0 - 0.2) / (1 - 0.2));
  EXPECT_EQ(kept.at("needle_400_0"), std::nullopt) << "the teacher does not beat chance there";

  // The same cells of other prompts are not the same task.
  options_.seed = 99;
  const auto other = CompareResults(teacher, {write("other", {})});
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(other.status().message().find("task_hashes"), absl::string_view::npos) << other.status();
}

TEST_F(NeedleTest, ThePageHasEveryNumber) {
  FindingScorer scorer = Finder({{400, 0.5}}, 3);
  const auto result = Run(scorer);
  ASSERT_TRUE(result.ok()) << result.status();
  const std::string html = result->Html("out/tiny<model>", {{"seed", 1234}, {"haystack", "trains"}});
  for (const char* part :
       {"<title>Needle in a haystack: tiny&lt;model&gt;</title>", "<th scope=\"row\">50%</th>",
        "<th scope=\"col\">400</th>", "style=\"--heat:0.41\">0.75</td>", "trains", "likeliest of 5"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part << " in\n" << html;
  }
  const std::string heat = "class=\"heat\"";
  size_t cells = 0;
  for (size_t at = html.find(heat); at != std::string::npos; at = html.find(heat, at + 1)) ++cells;
  EXPECT_EQ(cells, 3u * 2 * 3);
  EXPECT_EQ(html.find("http"), std::string::npos) << "the page needs no network";
}

TEST_F(NeedleTest, PromptsMustFitTheScorer) {
  FakeScorer small(0);  // 48 tokens
  const absl::Status status = Run(small).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("400 tokens"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("48"), absl::string_view::npos) << status;
}

TEST(FirstNumberIs, TakesTheFirstNumberAsAWhole) {
  EXPECT_EQ(FirstNumberIs(" 1234567.", "1234567"), 1);
  EXPECT_EQ(FirstNumberIs(": 1234567 and 2", "1234567"), 1);
  EXPECT_EQ(FirstNumberIs("12345678", "1234567"), 0);
  EXPECT_EQ(FirstNumberIs("1 1234567", "1234567"), 0);
  EXPECT_EQ(FirstNumberIs("123456", "1234567"), 0);
  EXPECT_EQ(FirstNumberIs("none", "1234567"), 0);
  EXPECT_EQ(FirstNumberIs("", "1234567"), 0);
}

}  // namespace
}  // namespace radlads
