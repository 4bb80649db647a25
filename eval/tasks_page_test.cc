#include "eval/tasks_page.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

TEST(TasksPage, HasEveryMetricAndBarsForShares) {
  auto config = ReadTaskConfig("eval/testdata/lambada.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto task = Task::Load(*std::move(config));
  ASSERT_TRUE(task.ok()) << task.status();
  EvaluatedTask evaluated{.task = &*task, .result = {}};
  evaluated.result.documents.resize(3);
  const auto add = [&](const std::string& name, bool higher, double value, double error, double chance) {
    MetricResult& metric = evaluated.result.metrics.emplace_back();
    metric.metric.name = name;
    metric.metric.higher_is_better = higher;
    metric.value = value;
    metric.standard_error = error;
    metric.chance = chance;
  };
  add("perplexity", false, 12.5, 0.5, 0);
  add("acc", true, 0.75, 0.125, 0.25);
  const std::string html = TasksPage({evaluated}, "a<b");
  for (const char* part : {"<title>What a&lt;b scores</title>",
                           "<td class=\"label\">perplexity ↓</td><td>12.5000</td><td>0.5000</td><td>–</td>",
                           "<td class=\"label\">acc ↑</td><td>0.7500</td><td>0.1250</td><td>0.250</td>", "lambada acc",
                           "width:75.00%", "left:62.50%;right:12.50%", "class=\"chance\" style=\"left:25.00%\""}) {
    EXPECT_NE(html.find(part), std::string::npos) << part << " in\n" << html;
  }
  EXPECT_EQ(html.find("lambada perplexity"), std::string::npos) << "a perplexity is no share";
  EXPECT_EQ(html.find("http"), std::string::npos) << "the page needs no network";
}

}  // namespace
}  // namespace radlads
