#include <cstdio>
#include <string>

#include "absl/strings/str_format.h"
#include "eval/compare.h"
#include "eval/page.h"

namespace radlads {
std::string Comparison::Html() const {
  const bool one = models.size() == 2;
  std::string html = PageHead("What " + (one ? models[1] + " keeps of " : "the students keep of ") + models[0]);
  if (!average.empty()) {
    BarChart chart{.title = "All tasks", .unit = "average of the metrics below", .bars = {}};
    for (size_t m = 0; m < models.size(); ++m) {
      std::string number = absl::StrFormat("%.3f", average[m].value);
      if (m > 0 && average[m].relative) number += absl::StrFormat(" · %.1f%% kept", *average[m].relative * 100);
      chart.bars.push_back({.label = models[m], .number = number, .value = average[m].value, .model = m});
    }
    html += "<p>Kept: the share of what the teacher knows beyond chance.</p>\n" + RenderBars(chart);
  }
  html +=
      "<h2>By task</h2>\n<p>A bar ends at the score, the thin line spans one standard error to both sides, the dotted "
      "line is chance.</p>\n<div class=\"charts\">\n";
  for (const ComparedMetric& metric : metrics) {
    if (!metric.headline) continue;
    BarChart chart{.title = metric.task, .unit = metric.metric, .bars = {}};
    for (size_t m = 0; m < models.size(); ++m) {
      const ComparedValue& value = metric.values[m];
      std::string number = absl::StrFormat("%.3f", value.value);
      if (m > 0 && value.relative) number += absl::StrFormat(" · %.1f%% kept", *value.relative * 100);
      chart.bars.push_back({.label = models[m],
                            .number = number,
                            .value = value.value,
                            .standard_error = value.standard_error,
                            .chance = metric.chance > 0 ? std::optional<double>(metric.chance) : std::nullopt,
                            .model = m});
    }
    html += RenderBars(chart);
  }
  html += "</div>\n<h2>All metrics</h2>\n";
  PageTable table{.caption =
                      "↑: higher is better, ↓: lower is. In brackets: what is kept, or the multiple of the "
                      "teacher's value.",
                  .head = {"task", "metric", "chance"},
                  .rows = {},
                  .headers = 2,
                  .heat = {}};
  table.head.insert(table.head.end(), models.begin(), models.end());
  for (const ComparedMetric& metric : metrics) {
    const bool share = metric.metric.starts_with("acc") || metric.metric == "exact_match";
    std::vector<std::string>& row = table.rows.emplace_back();
    row = {metric.task, metric.metric + (metric.higher_is_better ? " ↑" : " ↓"),
           share ? absl::StrFormat("%.3f", metric.chance) : "–"};
    for (size_t m = 0; m < metric.values.size(); ++m) {
      const ComparedValue& value = metric.values[m];
      std::string& cell = row.emplace_back(absl::StrFormat("%.4f", value.value));
      if (value.standard_error) cell += absl::StrFormat(" ± %.4f", *value.standard_error);
      if (m == 0 || !value.relative) continue;
      cell +=
          share ? absl::StrFormat(" (%.1f%%)", *value.relative * 100) : absl::StrFormat(" (%.3f×)", *value.relative);
    }
  }
  return html + RenderTable(table) + kPageEnd;
}

}  // namespace radlads
