#include "eval/tasks/evaluate.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "eval/tasks/fake_scorer.h"
#include "eval/tasks/results.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTasks[] = {"arc_easy", "piqa", "science", "lambada", "blanks", "prose", "sums",
                                  "digits", "digit_columns", "digit_works", "digit_labels", "line_feeds"};

Task LoadTask(const std::string& name) {
  auto config = ReadTaskConfig("eval/testdata/" + name + ".yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  auto task = Task::Load(*std::move(config));
  EXPECT_TRUE(task.ok()) << task.status();
  return *std::move(task);
}

class EvaluateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/smollm2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    directory_ = testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }
  std::string JournalPath() const { return directory_ + "/requests.jsonl"; }
  std::unique_ptr<ResponseJournal> OpenJournal() const {
    auto journal = ResponseJournal::Open(JournalPath(), "fake");
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string directory_;
};

TEST_F(EvaluateTest, ResultsAreThoseOfLmEval) {
  const Json golden = Json::parse(std::ifstream("eval/testdata/tasks_golden.json"));
  FakeScorer scorer(*tokenizer_->bos_id());
  const auto journal = OpenJournal();
  std::vector<Task> tasks;
  for (const char* name : kTasks) tasks.push_back(LoadTask(name));
  std::vector<EvaluatedTask> evaluated;
  for (const Task& task : tasks) {
    auto result = EvaluateTask(task, scorer, *tokenizer_, *journal, {});
    ASSERT_TRUE(result.ok()) << result.status();
    evaluated.push_back({&task, *std::move(result)});
  }
  ASSERT_TRUE(WriteResults(directory_, evaluated, "fake", {{"dtype", "fp32"}}).ok());
  const Json results = Json::parse(std::ifstream(directory_ + "/results.json"));
  for (const char* key : {"versions", "n-shot", "higher_is_better", "n-samples"}) {
    // Order is that of the tasks here, and alphabetical there.
    EXPECT_EQ(nlohmann::json(results[key]), nlohmann::json(golden[key])) << key;
  }
  for (const char* name : kTasks) {
    const Json &ours = results["results"][name], &theirs = golden["results"][name];
    EXPECT_EQ(ours.size(), theirs.size()) << ours << theirs;
    for (const auto& [key, value] : theirs.items()) {
      ASSERT_TRUE(ours.contains(key)) << name << key;
      if (value.is_number_float()) {
        EXPECT_DOUBLE_EQ(ours[key].get<double>(), value.get<double>()) << name << key;
      } else {
        EXPECT_EQ(ours[key], value) << name << key;
      }
    }
    std::ifstream lines(directory_ + "/samples_" + name + ".jsonl");
    size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      const Json sample = Json::parse(line), &expected = golden["samples"][name][count];
      EXPECT_EQ(sample["doc_id"], count);
      for (const auto& [metric, value] : expected["metrics"].items())
        EXPECT_EQ(sample[metric], value) << name << metric;
    }
    EXPECT_EQ(count, golden["samples"][name].size());
  }
  EXPECT_EQ(results["chance"]["arc_easy"]["acc"], 0.25);
  EXPECT_EQ(results["chance"]["lambada"]["acc"], 0.0);
  EXPECT_NE(ResultsTable(evaluated).find("arc_easy"), std::string::npos);
}

TEST_F(EvaluateTest, AStoppedRunGoesOn) {
  const Task task = LoadTask("arc_easy");
  FakeScorer whole(1);
  const auto expected = EvaluateTask(task, whole, *tokenizer_, *OpenJournal(), {});
  ASSERT_TRUE(expected.ok()) << expected.status();

  std::filesystem::remove(JournalPath());
  FakeScorer failing(1);
  failing.fail_after = 30;
  const auto failed = EvaluateTask(task, failing, *tokenizer_, *OpenJournal(), {});
  EXPECT_NE(failed.status().message().find("task arc_easy"), absl::string_view::npos) << failed.status();
  std::ofstream(JournalPath(), std::ios::app) << "{\"request\":\"cut o";  // as a crash leaves it

  FakeScorer rest(1);
  const auto resumed = EvaluateTask(task, rest, *tokenizer_, *OpenJournal(), {});
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(rest.answered, whole.answered - 30);
  ASSERT_EQ(resumed->metrics.size(), expected->metrics.size());
  for (size_t i = 0; i < resumed->metrics.size(); ++i) EXPECT_EQ(resumed->metrics[i].value, expected->metrics[i].value);
}

// Tries again with a little more room each time: no answer is asked for twice, but for the ones that found no room.
TEST_F(EvaluateTest, AFullDiskStopsTheModelAndLosesNoAnswer) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  std::vector<Task> tasks;
  for (const char* name : kTasks) tasks.push_back(LoadTask(name));
  const auto evaluate = [&](FakeScorer& scorer, ResponseJournal& journal) {
    std::string results;
    for (const Task& task : tasks) {
      auto result = EvaluateTask(task, scorer, *tokenizer_, journal, {});
      if (!result.ok()) return absl::StatusOr<std::string>(result.status());
      results += ResultsJson({{&task, *std::move(result)}}, "model", {}).dump();
    }
    return absl::StatusOr<std::string>(results);
  };
  FakeScorer whole(1);
  const auto expected = evaluate(whole, *OpenJournal());
  ASSERT_TRUE(expected.ok()) << expected.status();

  SmallDisk disk(1 << 20);
  const std::string path = disk.path() + "/requests.jsonl";
  int64_t answered = 0, lost = 0;
  for (int tries = 0;; ++tries) {
    ASSERT_LT(tries, 100);
    disk.FillBut(tries == 0 ? 0 : 4096);
    const std::stop_source full;
    auto journal = ResponseJournal::Open(path, "fake", full);
    if (tries == 0) {
      EXPECT_TRUE(absl::IsResourceExhausted(journal.status())) << journal.status();
      continue;
    }
    ASSERT_TRUE(journal.ok()) << journal.status();
    FakeScorer scorer(1);
    scorer.stop = full.get_token();
    const auto results = evaluate(scorer, **journal);
    answered += scorer.answered;
    if (results.ok()) {
      EXPECT_EQ(*results, *expected);
      break;
    }
    ++lost;
    EXPECT_TRUE(absl::IsResourceExhausted(results.status())) << results.status();
    EXPECT_NE(results.status().message().find("requests.jsonl: No space left on device"), absl::string_view::npos)
        << results.status();
  }
  EXPECT_GT(lost, 2);
  EXPECT_EQ(answered, whole.answered + lost);
}

TEST_F(EvaluateTest, AJournalOfAnotherRunIsRefused) {
  OpenJournal().reset();
  EXPECT_EQ(ResponseJournal::Open(JournalPath(), "other").status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(JournalPath(), std::ios::app) << "{\"request\":\"a\",\"logprob\":\"x\"}\n";
  const auto damaged = ResponseJournal::Open(JournalPath(), "fake").status();
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(damaged.message().find("requests.jsonl:2"), absl::string_view::npos) << damaged;
}

TEST_F(EvaluateTest, RequestsAreKnownByWhatDecidesTheirAnswer) {
  const TaskConfig choice{.output_type = OutputType::kMultipleChoice}, plain{.output_type = OutputType::kLoglikelihood};
  TaskConfig generate{.output_type = OutputType::kGenerateUntil};
  const TaskRequest request{0, "a", "b"}, other{1, "a", "b"}, moved{0, "ab", ""};
  EXPECT_EQ(RequestKey(choice, request), RequestKey(plain, other));
  EXPECT_NE(RequestKey(plain, request), RequestKey(plain, moved));
  const std::string before = RequestKey(generate, request);
  generate.generation.max_new_tokens = 5;
  EXPECT_NE(RequestKey(generate, request), before);
}

}  // namespace
}  // namespace radlads
