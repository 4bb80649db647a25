#include "eval/page.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "base/html.h"
#include "distill/report_style.h"

namespace radlads {
namespace {

// Beside that of a run's report, which the pages share.
constexpr char kStyle[] = R"css(
.bars {
  list-style: none; margin: 0; padding: 0 0 6px; font-size: .92rem; font-variant-numeric: tabular-nums;
  container-type: inline-size;
}
.bars li { display: grid; grid-template-columns: 1fr auto; gap: 2px 12px; align-items: center; padding: 4px 0; }
.bars .track { position: relative; height: 16px; background: var(--line); border-radius: 3px; grid-column: 1 / -1; }
.bars .label { overflow-wrap: anywhere; line-height: 1.25; }
.track i { position: absolute; top: 0; bottom: 0; }
.track .fill { left: 0; border-radius: 3px; }
.track .error { top: 7px; bottom: 7px; background: var(--ink); min-width: 1px; }
.track .chance { top: -2px; bottom: -2px; border-left: 2px dotted var(--ink); }
.only { background: var(--student); } .first { background: var(--teacher); } .second { background: var(--student); }
.third { background: var(--third); } .fourth { background: var(--fourth); }
td.heat { background: rgb(31 111 208 / var(--heat)); border-left: 2px solid var(--surface); }
th.label, td.label { text-align: left; }
thead th { white-space: normal; overflow-wrap: break-word; vertical-align: bottom; }
@container (min-width: 560px) {
  .bars li { grid-template-columns: minmax(7rem, 13rem) 1fr 11.5rem; padding: 2px 0; }
  .bars .track { grid-row: 1; grid-column: 2; }
  .bars .number { grid-row: 1; grid-column: 3; }
}
)css";

// A place along a bar.
std::string Percent(double share) {
  return absl::StrFormat("%.2f%%", 100 * std::clamp(share, 0.0, 1.0));
}

}  // namespace

std::string ModelName(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

std::string PageHead(std::string_view title) {
  const std::string text = EscapeHtml(title);
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width, initial-scale=1\">\n<title>" +
         text + "</title><style>" + kReportStyle + kStyle + "</style></head><body>\n<h1>" + text + "</h1>\n";
}

std::string RenderBars(const BarChart& chart) {
  constexpr std::array<const char*, 4> kColours = {"first", "second", "third", "fourth"};
  std::string html = "<figure class=\"chart\"><figcaption><strong>" + EscapeHtml(chart.title) + "</strong>";
  if (!chart.unit.empty()) html += "<span class=\"unit\">" + EscapeHtml(chart.unit) + "</span>";
  html += "</figcaption>\n<ul class=\"bars\">\n";
  const bool one = std::all_of(chart.bars.begin(), chart.bars.end(), [](const Bar& bar) { return bar.model == 0; });
  for (const Bar& bar : chart.bars) {
    const double end = bar.value / chart.most;
    html += "<li><span class=\"label\">" + EscapeHtml(bar.label) + "</span> <span class=\"number\">" +
            EscapeHtml(bar.number) + "</span><span class=\"track\" aria-hidden=\"true\"><i class=\"fill " +
            (one ? "only" : kColours[std::min(bar.model, kColours.size() - 1)]) + "\" style=\"width:" + Percent(end) +
            "\"></i>";
    if (bar.standard_error) {
      const double reach = *bar.standard_error / chart.most;
      html +=
          "<i class=\"error\" style=\"left:" + Percent(end - reach) + ";right:" + Percent(1 - end - reach) + "\"></i>";
    }
    if (bar.chance) html += "<i class=\"chance\" style=\"left:" + Percent(*bar.chance / chart.most) + "\"></i>";
    html += "</span></li>\n";
  }
  return html + "</ul></figure>\n";
}

std::string RenderTable(const PageTable& table) {
  const std::string caption = EscapeHtml(table.caption);
  // In reach of the keyboard, because it may have to be scrolled.
  std::string html = "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"" + caption +
                     "\"><table><caption><span>" + caption + "</span></caption>\n<thead><tr>";
  for (size_t column = 0; column < table.head.size(); ++column) {
    html += std::string("<th scope=\"col\"") + (column < table.headers ? " class=\"label\">" : ">") +
            EscapeHtml(table.head[column]) + "</th>";
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    html += "<tr>";
    for (size_t column = 0; column < table.rows[row].size(); ++column) {
      const std::string text = EscapeHtml(table.rows[row][column]);
      const double heat = table.heat.empty() ? -1 : table.heat[row][column];
      if (column == 0) {
        html += "<th scope=\"row\">" + text + "</th>";
      } else if (column < table.headers) {
        html += "<td class=\"label\">" + text + "</td>";
      } else if (heat >= 0) {
        html += "<td class=\"heat\" style=\"--heat:" + absl::StrFormat("%.2f", 0.55 * std::min(heat, 1.0)) + "\">" +
                text + "</td>";
      } else {
        html += "<td>" + text + "</td>";
      }
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace radlads
