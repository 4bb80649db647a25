#include "eval/tasks/metrics.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace radlads {
namespace {

using Json = nlohmann::json;

Json ReadGolden(const std::string& name) {
  std::ifstream file("eval/testdata/" + name);
  EXPECT_TRUE(file.good()) << name;
  return Json::parse(file);
}

TEST(Metrics, AggregatesAndErrorsAreThoseOfLmEval) {
  const std::map<std::string, Aggregation> aggregations = {{"mean", Aggregation::kMean},
                                                           {"perplexity", Aggregation::kPerplexity},
                                                           {"weighted_perplexity", Aggregation::kWeightedPerplexity},
                                                           {"bits_per_byte", Aggregation::kBitsPerByte}};
  const Json golden = ReadGolden("metrics_golden.json");
  for (const Json& row : golden["aggregations"]) {
    std::vector<MetricValue> values;
    for (size_t i = 0; i < row["items"].size(); ++i) values.push_back({row["items"][i], row["weights"][i]});
    const Aggregation aggregation = aggregations.at(row["aggregation"]);
    EXPECT_DOUBLE_EQ(Aggregate(aggregation, values), row["value"].get<double>()) << row["aggregation"] << values.size();
    const auto error = StandardError(aggregation, values, 5000);
    ASSERT_EQ(error.has_value(), row["stderr"].is_number()) << row["aggregation"] << values.size();
    if (!error) continue;
    EXPECT_DOUBLE_EQ(*error, row["stderr"].get<double>()) << row["aggregation"] << values.size();
  }
}

TEST(Metrics, ExactMatchIgnoresWhatItIsTold) {
  const Json golden = ReadGolden("metrics_golden.json");
  for (const Json& row : golden["exact_match"]) {
    MetricConfig metric{.name = "exact_match"};
    const Json& options = row["options"];
    metric.ignore_case = options.value("ignore_case", false);
    metric.ignore_punctuation = options.value("ignore_punctuation", false);
    metric.ignore_numbers = options.value("ignore_numbers", false);
    metric.regexes_to_ignore = options.value("regexes_to_ignore", std::vector<std::string>());
    const auto score = ExactMatch(metric, row["prediction"], row["reference"]);
    ASSERT_TRUE(score.ok()) << score.status();
    EXPECT_EQ(*score, row["score"].get<double>()) << row;
  }
  EXPECT_EQ(ExactMatch({.regexes_to_ignore = {"(?=a)"}}, "a", "a").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Metrics, DocumentsMeasureAsInLmEval) {
  const Json golden = ReadGolden("tasks_golden.json");
  for (const auto& [name, samples] : golden["samples"].items()) {
    auto config = ReadTaskConfig("eval/testdata/" + name + ".yaml");
    ASSERT_TRUE(config.ok()) << config.status();
    const auto task = Task::Load(*std::move(config));
    ASSERT_TRUE(task.ok()) << task.status();
    for (size_t i = 0; i < samples.size(); ++i) {
      std::vector<TaskResponse> responses;
      for (const Json& request : samples[i]["requests"]) {
        const Json& response = request["response"];
        TaskResponse& ours = responses.emplace_back();
        if (response.is_array()) ours.loglikelihood = {response[0], response[1]};
        if (response.is_number()) ours.loglikelihood.logprob = response;
        if (response.is_string()) ours.text = response;
      }
      const auto values = MeasureDocument(*task, task->documents()[i], responses);
      ASSERT_TRUE(values.ok()) << values.status();
      for (size_t m = 0; m < values->size(); ++m) {
        const std::string& metric = task->config().metrics[m].name;
        const Json& expected = samples[i]["metrics"][metric];
        EXPECT_EQ((*values)[m].value, (expected.is_array() ? expected[0] : expected).get<double>())
            << name << i << metric;
        EXPECT_EQ((*values)[m].weight, expected.is_array() ? expected[1].get<int64_t>() : 1) << name << i << metric;
      }
    }
  }
}

// lm_eval raises, or finds no such choice and counts the document as wrong.
TEST(Metrics, WhatIsNoChoiceIsRefusedOrNeverRight) {
  const auto measured = [](const JinjaValue& target, bool* among) -> absl::Status {
    auto config = ReadTaskConfig("eval/testdata/digits.yaml");
    EXPECT_TRUE(config.ok()) << config.status();
    config->doc_to_target = JinjaValue(std::string("answer"));
    auto task = Task::Load(*config);
    EXPECT_TRUE(task.ok()) << task.status();
    Document document = task->documents()[0];
    for (auto& [name, value] : document) {
      if (name == "answer") value = target;
    }
    const std::vector<TaskResponse> responses(3, {.loglikelihood = {.logprob = -1, .is_greedy = true}, .text = ""});
    const auto values = MeasureDocument(*task, document, responses);
    if (!values.ok()) return values.status();
    const auto has = HasRightChoice(*task, document);
    EXPECT_TRUE(has.ok()) << has.status();
    *among = *has;
    EXPECT_EQ((*values)[0].value, *among ? 1 : 0);
    return absl::OkStatus();
  };
  bool among = false;
  for (const JinjaValue& wrong : {JinjaValue(1.0), JinjaValue(nullptr), JinjaValue(JinjaValue::List{JinjaValue(std::string("2"))}),
                                  JinjaValue(int64_t{-4})}) {
    EXPECT_EQ(measured(wrong, &among).code(), absl::StatusCode::kInvalidArgument) << wrong.type_name();
  }
  for (const JinjaValue& missing : {JinjaValue(std::string("0")), JinjaValue(int64_t{3}), JinjaValue(int64_t{-1})}) {
    EXPECT_TRUE(measured(missing, &among).ok());
    EXPECT_FALSE(among);
  }
  for (const JinjaValue& right : {JinjaValue(std::string("2")), JinjaValue(int64_t{0}), JinjaValue(false),
                                  JinjaValue(JinjaValue::List{JinjaValue(int64_t{2}), JinjaValue(int64_t{0})})}) {
    EXPECT_TRUE(measured(right, &among).ok());
    EXPECT_TRUE(among);
  }
}

}  // namespace
}  // namespace radlads
