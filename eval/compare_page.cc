#include <algorithm>
#include <cstdio>
#include <string>

#include "base/html.h"
#include "distill/chart.h"
#include "eval/compare.h"

namespace radlads {
namespace {

constexpr char kHead[] = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>What the student keeps</title><style>
:root { color-scheme: light dark; --page: #f6f6f3; --surface: #fff; --ink: #14140f; --soft: #55544c; --line: #e2e1da;
  --m0: #c2540f; --m1: #1f6fd0; --m2: #11805f; --m3: #7a3fc4; }
@media (prefers-color-scheme: dark) { :root { --page: #121211; --surface: #1b1b19; --ink: #f4f4ef; --soft: #b9b8ae;
  --line: #33332f; --m0: #f0934e; --m1: #5aa2f2; --m2: #3fc29a; --m3: #b48cf2; } }
body { margin: 0 auto; padding: 28px 16px 60px; max-width: 980px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
p { color: var(--soft); max-width: 70ch; margin: .3rem 0; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 12px; margin: 12px 0;
  overflow-x: auto; }
svg { width: 100%; height: auto; display: block; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .soft { fill: var(--soft); } .chance { stroke: var(--soft); stroke-dasharray: 3 3; }
.m0 { fill: var(--m0); } .m1 { fill: var(--m1); } .m2 { fill: var(--m2); } .m3 { fill: var(--m3); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
</style></head><body>
)html";

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string Style(size_t model) {
  return "m" + std::to_string(std::min<size_t>(model, 3));
}

// One bar for each model of a metric that lies in [0, 1], with a whisker of one standard error, and a line at chance.
std::string Bars(const Comparison& comparison, const ComparedMetric& metric) {
  constexpr double kLeft = 170, kWidth = 560, kRow = 24;
  const double height = kRow * static_cast<double>(metric.values.size()) + 8;
  std::string svg = "<svg viewBox=\"0 0 860 " + Format("%.0f", height) + "\" role=\"img\" aria-label=\"" +
                    EscapeHtml(metric.task + " " + metric.metric) + "\">";
  for (size_t m = 0; m < metric.values.size(); ++m) {
    const ComparedValue& value = metric.values[m];
    const double y = kRow * static_cast<double>(m) + 4, end = kLeft + kWidth * std::clamp(value.value, 0.0, 1.0);
    svg += "<text x=\"160\" y=\"" + Format("%.0f", y + 14) + "\" text-anchor=\"end\">" +
           EscapeHtml(comparison.models[m]) + "</text><rect class=\"" + Style(m) + "\" x=\"170\" y=\"" +
           Format("%.0f", y) + "\" width=\"" + Format("%.1f", end - kLeft) + "\" height=\"18\" rx=\"3\"/>";
    if (value.standard_error) {
      const double reach = kWidth * *value.standard_error;
      svg += "<path stroke=\"var(--ink)\" d=\"M" + Format("%.1f", end - reach) + " " + Format("%.0f", y + 9) + "H" +
             Format("%.1f", end + reach) + "\"/>";
    }
    std::string label = Format("%.3f", value.value);
    if (m > 0 && value.relative) label += " · " + Format("%.1f%% kept", *value.relative * 100);
    svg += "<text x=\"740\" y=\"" + Format("%.0f", y + 14) + "\">" + label + "</text>";
  }
  if (metric.chance > 0) {
    const std::string x = Format("%.1f", kLeft + kWidth * metric.chance);
    svg += "<path class=\"chance\" d=\"M" + x + " 0V" + Format("%.0f", height) + "\"/>";
  }
  return svg + "</svg>";
}

}  // namespace

std::string Comparison::Html() const {
  std::string html = kHead;
  html += "<h1>What " + EscapeHtml(models.size() == 2 ? models[1] : "the students") +
          (models.size() == 2 ? " keeps of " : " keep of ") + EscapeHtml(models[0]) + "</h1>\n";
  if (average.size() > 1 && average[1].relative) {
    for (size_t m = 1; m < models.size(); ++m) {
      if (!average[m].relative) continue;
      html += "<p>" + EscapeHtml(models[m]) + " keeps " + Format("%.1f%%", *average[m].relative * 100) +
              " of what the teacher knows beyond chance, on average over the tasks.</p>\n";
    }
  }
  html +=
      "<h2>By task</h2><p>A bar ends at the score, the thin line spans one standard error, the dashed line is "
      "chance.</p>\n";
  for (const ComparedMetric& metric : metrics) {
    if (!metric.headline) continue;
    html += "<div class=\"card\"><strong>" + EscapeHtml(metric.task) + "</strong> " + EscapeHtml(metric.metric) +
            Bars(*this, metric) + "</div>\n";
  }
  html += "<h2>All metrics</h2><div class=\"card\"><table><tr><th>task</th><th>metric</th><th>chance</th>";
  for (const std::string& model : models) html += "<th>" + EscapeHtml(model) + "</th>";
  html += "</tr>\n";
  for (const ComparedMetric& metric : metrics) {
    const bool share = metric.metric.starts_with("acc") || metric.metric == "exact_match";
    html += "<tr><td>" + EscapeHtml(metric.task) + "</td><td>" + EscapeHtml(metric.metric) +
            (metric.higher_is_better ? " ↑" : " ↓") + "</td><td>" + (share ? Format("%.3f", metric.chance) : "–") +
            "</td>";
    for (size_t m = 0; m < metric.values.size(); ++m) {
      const ComparedValue& value = metric.values[m];
      html += "<td>" + Format("%.4f", value.value);
      if (value.standard_error) html += Format(" ± %.4f", *value.standard_error);
      if (m > 0 && value.relative)
        html += share ? Format(" (%.1f%%)", *value.relative * 100) : Format(" (%.3f×)", *value.relative);
      html += "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n</body></html>\n";
}

}  // namespace radlads
