#include "eval/page.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "base/html.h"
#include "base/status.h"
#include "eval/needle/needle.h"

namespace radlads {
namespace {

// How strongly a value is coloured: a share is, a logarithm by the probability it stands for.
double Heat(NeedleMetric metric, double value) {
  return metric == kNeedleLogprob ? std::exp(value) : value;
}

std::string Map(const NeedleResult& result, NeedleMetric metric, const std::string& caption) {
  PageTable table{.caption = caption, .head = {"depth"}, .rows = {}, .heat = {}};
  for (const int64_t length : result.lengths) table.head.push_back(std::to_string(length));
  table.head.push_back("all");
  std::vector<std::optional<double>> depths(result.depths.begin(), result.depths.end());
  depths.push_back(std::nullopt);
  std::vector<std::optional<int64_t>> lengths(result.lengths.begin(), result.lengths.end());
  lengths.push_back(std::nullopt);
  for (const std::optional<double> depth : depths) {
    std::vector<std::string>& row = table.rows.emplace_back();
    std::vector<double>& heat = table.heat.emplace_back();
    row.push_back(depth ? absl::StrFormat("%g%%", 100 * *depth) : "all");
    heat.push_back(-1);
    for (const std::optional<int64_t> length : lengths) {
      const double value = result.Mean(metric, length, depth).value;
      row.push_back(absl::StrFormat("%.2f", value));
      heat.push_back(depth && length ? Heat(metric, value) : -1);
    }
  }
  return RenderTable(table);
}

}  // namespace

std::string NeedleResult::Html(const std::string& model, const nlohmann::ordered_json& settings) const {
  std::string html = PageHead("Needle in a haystack: " + ModelName(model));
  html +=
      "<p>A number of seven digits is hidden in a text and asked for at its end. Down: how deep in the text it "
      "lies, from its beginning (0%) to its end (100%). Across: tokens of the whole prompt. The stronger the "
      "colour of a cell, the more is found.</p>\n<dl class=\"tiles\">";
  const std::pair<NeedleMetric, const char*> tiles[] = {{kNeedleExactMatch, "written down"},
                                                        {kNeedleAcc, "likeliest number"},
                                                        {kNeedleLogprob, "log probability by token"}};
  for (const auto& [metric, name] : tiles) {
    const NeedleValue all = Mean(metric, std::nullopt, std::nullopt);
    std::string text = std::string(name) + " (" + NeedleMetricName(metric) + ")";
    if (all.standard_error) text += absl::StrFormat(", ± %.2f", *all.standard_error);
    html += "<div><dt>" + EscapeHtml(text) + "</dt><dd>" + absl::StrFormat("%.2f", all.value) + "</dd></div>";
  }
  html += "</dl>\n";
  html += "<h2>Written down</h2>\n" +
          Map(*this, kNeedleExactMatch, "exact_match: share of prompts whose greedy answer gives the hidden number.");
  html += "<h2>Likeliest</h2>\n" +
          Map(*this, kNeedleAcc,
              Concatenate("acc: share of prompts after which the hidden number is the likeliest of ", choices,
                          ". Guessing gives ", absl::StrFormat("%.2g", Chance(kNeedleAcc)), "."));
  html +=
      "<h2>Log probability</h2>\n" +
      Map(*this, kNeedleLogprob,
          "logprob: natural logarithm of the probability of the hidden number, by token; 0 is certainty. The colour "
          "is the probability.");
  html += Concatenate("<h2>How</h2>\n<p>", samples,
                      " prompts a cell, in the form of RULER's niah_single_2. Sample i has one "
                      "number and one beginning in the haystack in all cells.</p>\n");
  PageTable table{
      .caption = "Settings of the run.", .head = {"setting", "value"}, .rows = {}, .headers = 2, .heat = {}};
  for (const auto& [key, value] : settings.items()) {
    table.rows.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  return html + RenderTable(table) + kPageEnd;
}

}  // namespace radlads
