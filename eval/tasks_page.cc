#include "eval/tasks_page.h"

#include <cstdio>

#include "absl/strings/str_format.h"
#include "eval/page.h"

namespace radlads {
std::string TasksPage(const std::vector<EvaluatedTask>& tasks, const std::string& model) {
  BarChart chart{.title = "Shares of right answers",
                 .unit = "the thin line spans one standard error to both sides, the dotted line is chance",
                 .bars = {}};
  PageTable table{.caption = "↑: higher is better, ↓: lower is.",
                  .head = {"task", "metric", "value", "standard error", "chance", "examples", "documents"},
                  .rows = {},
                  .headers = 2,
                  .heat = {}};
  for (const EvaluatedTask& evaluated : tasks) {
    const TaskConfig& config = evaluated.task->config();
    for (const MetricResult& metric : evaluated.result.metrics) {
      const std::string& name = metric.metric.name;
      const bool share = name.starts_with("acc") || name == "exact_match";
      if (share) {
        chart.bars.push_back({.label = config.task + " " + name,
                              .number = absl::StrFormat("%.3f", metric.value),
                              .value = metric.value,
                              .standard_error = metric.standard_error,
                              .chance = metric.chance > 0 ? std::optional<double>(metric.chance) : std::nullopt});
      }
      table.rows.push_back({config.task, name + (metric.metric.higher_is_better ? " ↑" : " ↓"),
                            absl::StrFormat("%.4f", metric.value),
                            metric.standard_error ? absl::StrFormat("%.4f", *metric.standard_error) : "–",
                            share ? absl::StrFormat("%.3f", metric.chance) : "–", std::to_string(config.num_fewshot),
                            std::to_string(evaluated.result.documents.size())});
    }
  }
  std::string html = PageHead("What " + model + " scores");
  if (!chart.bars.empty()) html += RenderBars(chart);
  return html + "<h2>All metrics</h2>\n" + RenderTable(table) + kPageEnd;
}

}  // namespace radlads
