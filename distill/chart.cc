#include "distill/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/html.h"

namespace radlads {
namespace {

// Room around the plot, in user units; text is 12 units high.
constexpr double kTop = 22, kRight = 14, kBottom = 40, kCharacter = 6.6;

std::string Format(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

double NiceStep(double raw) {
  const double magnitude = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * magnitude * (1 + 1e-9)) return factor * magnitude;
  }
  return 10 * magnitude;
}

// Maps values of one axis to user units.
struct Axis {
  double low = 0, high = 1;
  double begin = 0, end = 1;  // where low and high are drawn
  bool logarithmic = false;

  double At(double value) const {
    const double share = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return begin + share * (end - begin);
  }
};

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Means over at most `limit` equal runs of points: an SVG of a long run stays small.
std::vector<std::pair<double, double>> Thinned(const std::vector<std::pair<double, double>>& points, size_t limit) {
  if (points.size() <= limit) return points;
  std::vector<std::pair<double, double>> thinned;
  for (size_t i = 0; i < limit; ++i) {
    const size_t begin = i * points.size() / limit, end = (i + 1) * points.size() / limit;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += points[j].second;
    thinned.emplace_back(points[end - 1].first, sum / (end - begin));
  }
  return thinned;
}

std::string Path(const std::vector<std::pair<double, double>>& points, const Axis& x, const Axis& y) {
  std::string path;
  bool pen_down = false;
  for (const auto& [px, py] : points) {
    if (!std::isfinite(py) || (y.logarithmic && py <= 0)) {
      pen_down = false;
      continue;
    }
    path += Format("%c%.1f %.1f", pen_down ? 'L' : 'M', x.At(px), y.At(py));
    pen_down = true;
  }
  return path;
}

// The tooltip's data: plot edges, x range, units, and the points of every series in the legend.
std::string HoverData(const Chart& chart, const Axis& x) {
  nlohmann::json data = {{"x", {x.begin, x.end, x.low, x.high}}, {"unit", chart.x_unit}};
  for (const ChartSeries& series : chart.series) {
    if (series.background) continue;
    nlohmann::json points = nlohmann::json::array();
    for (const auto& [px, py] : Thinned(series.points, 300)) {
      if (std::isfinite(py)) points.push_back({px, std::stod(Format("%.4g", py))});
    }
    data["series"].push_back({{"name", series.name}, {"points", points}});
  }
  return data.dump();
}

}  // namespace

std::string TickLabel(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size >= 1e4) {
    int prefix = 0;
    for (; std::abs(value) >= 999.95 && prefix < 4; ++prefix) value /= 1000;
    return Format("%.3g %s", value, (const char*[]){"", "k", "M", "G", "T"}[prefix]);
  }
  if (size >= 1e-3) return Format("%.4g", value);
  int exponent = static_cast<int>(std::floor(std::log10(size)));
  double mantissa = value / std::pow(10, exponent);
  if (std::abs(mantissa) >= 9.995) mantissa /= 10, ++exponent;
  return Format("%.3ge%d", mantissa, exponent);
}

std::vector<double> LinearTicks(double low, double high, int count) {
  const double step = NiceStep((high - low) / std::max(1, count));
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last; ++i) ticks.push_back(i == 0 ? 0 : i * step);
  return ticks;
}

std::vector<double> LogTicks(double low, double high, int count) {
  static const std::vector<std::vector<double>> kMantissas = {
      {1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1.5, 2, 3, 4, 5, 7}, {1, 2, 3, 5}, {1, 2, 5}, {1, 3}, {1}};
  const int first = static_cast<int>(std::floor(std::log10(low))),
            last = static_cast<int>(std::floor(std::log10(high)));
  std::vector<double> ticks;
  for (const auto& mantissas : kMantissas) {
    ticks.clear();
    for (int decade = first; decade <= last; ++decade) {
      for (double mantissa : mantissas) {
        const double tick = mantissa * std::pow(10, decade);
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push_back(tick);
      }
    }
    if (ticks.size() <= static_cast<size_t>(count)) break;
  }
  if (ticks.size() >= 3) {
    const size_t stride = (ticks.size() + count - 1) / count;  // more decades than labels
    std::vector<double> kept;
    for (size_t i = 0; i < ticks.size(); i += stride) kept.push_back(ticks[i]);
    return kept;
  }
  // Less than a decade: evenly spaced round numbers say more.
  ticks.clear();
  for (double tick : LinearTicks(low, high, count)) {
    if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push_back(tick);
  }
  return ticks;
}

std::vector<std::pair<double, double>> Smoothed(const std::vector<std::pair<double, double>>& points, double span) {
  const double keep = span <= 1 ? 0 : 1 - 2 / (span + 1);
  std::vector<std::pair<double, double>> smoothed;
  double sum = 0, weight = 0;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y)) {
      smoothed.emplace_back(x, y);
      continue;
    }
    sum = keep * sum + y;
    weight = keep * weight + 1;
    smoothed.emplace_back(x, sum / weight);
  }
  return smoothed;
}

std::string RenderChart(const Chart& chart) {
  Extent x_extent, y_extent;
  for (const ChartSeries& series : chart.series) {
    for (const auto& [px, py] : series.points) {
      if (!std::isfinite(py)) continue;
      x_extent.Add(px);
      y_extent.Add(py);
    }
  }
  if (y_extent.empty()) return "";
  for (const ChartMark& mark : chart.marks) x_extent.Add(mark.x);

  // The y axis: its range, its labels, and from their width where the plot begins.
  Axis y;
  y.begin = chart.height - kBottom;
  y.end = kTop;
  const int y_count = std::max(2, static_cast<int>((y.begin - y.end) / 34));
  std::vector<double> y_ticks;
  y.logarithmic = chart.log_beyond > 0 && y_extent.low > 0 && y_extent.high > chart.log_beyond * y_extent.low;
  if (y.logarithmic) {
    const double margin = std::pow(y_extent.high / y_extent.low, 0.04);
    y.low = y_extent.low / margin;
    y.high = y_extent.high * margin;
    y_ticks = LogTicks(y.low, y.high, y_count + 1);
  } else {
    double low = chart.from_zero ? std::min(0.0, y_extent.low) : y_extent.low, high = y_extent.high;
    if (high - low < 1e-12 * std::max(std::abs(high), 1e-300)) {
      const double room = high == 0 ? 1 : 0.1 * std::abs(high);
      low -= low == 0 ? 0 : room;
      high += room;
    }
    y_ticks = LinearTicks(low, high, y_count);
    y.low = y_ticks.front();
    y.high = y_ticks.back();
  }
  size_t widest = 1;
  for (double tick : y_ticks) widest = std::max(widest, TickLabel(tick).size());

  Axis x;
  x.low = x_extent.low;
  x.high = x_extent.high > x_extent.low ? x_extent.high : x_extent.low + 1;
  x.begin = 8 + widest * kCharacter;
  x.end = chart.width - kRight;

  std::string svg = Format("<svg viewBox=\"0 0 %d %d\" role=\"img\" tabindex=\"0\"", chart.width, chart.height);
  std::string summary = chart.title;
  for (const ChartSeries& series : chart.series) {
    if (series.background || series.points.empty()) continue;
    summary += "; " + series.name + " from " + TickLabel(series.points.front().second) + " to " +
               TickLabel(series.points.back().second);
  }
  svg += " aria-label=\"" + EscapeHtml(summary + " over " + TickLabel(x.high - x.low) + " " + chart.x_unit) + "\"";
  svg += " data-hover=\"" + EscapeHtml(HoverData(chart, x)) + "\">\n";

  double previous_label = std::numeric_limits<double>::infinity();
  for (double tick : y_ticks) {
    const double at = y.At(tick);
    svg += Format("<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x.begin, at, x.end, at);
    if (std::abs(previous_label - at) < 14) continue;
    previous_label = at;
    svg += Format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", x.begin - 6, at + 4,
                  TickLabel(tick).c_str());
  }
  svg += Format("<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x.begin, y.begin, x.end,
                y.begin);
  double free_from = 0;
  for (double tick : LinearTicks(x.low, x.high, std::max(2, static_cast<int>((x.end - x.begin) / 75)))) {
    if (tick < x.low || tick > x.high) continue;
    const double at = x.At(tick);
    const std::string label = TickLabel(tick);
    const double half = label.size() * kCharacter / 2;
    const double middle = std::min(at, chart.width - half);
    if (middle - half < free_from) continue;
    free_from = middle + half + 10;
    svg +=
        Format("<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", at, y.begin, at, y.begin + 4);
    svg +=
        Format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", middle, y.begin + 17, label.c_str());
  }
  svg += Format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", (x.begin + x.end) / 2,
                chart.height - 6.0, EscapeHtml(chart.x_unit).c_str());

  double label_end = 0;
  for (size_t i = 0; i < chart.marks.size(); ++i) {
    const double at = x.At(chart.marks[i].x),
                 next = i + 1 < chart.marks.size() ? x.At(chart.marks[i + 1].x) : chart.width;
    svg += Format("<line class=\"mark\" x1=\"%.1f\" y1=\"6\" x2=\"%.1f\" y2=\"%.1f\"/>\n", at, at, y.begin);
    const std::string& whole = chart.marks[i].label;
    for (const std::string& label : {whole, whole.substr(0, whole.find(' '))}) {
      const double width = label.size() * kCharacter;
      const bool right = at + 8 + width <= next;
      if (!right && at - 4 - width < label_end + 8) continue;
      svg += Format("<text x=\"%.1f\" y=\"14\"%s>", right ? at + 4 : at - 4, right ? "" : " text-anchor=\"end\"") +
             EscapeHtml(label) + "</text>\n";
      label_end = right ? at + 4 + width : at;
      break;
    }
  }

  for (const ChartSeries& series : chart.series) {
    const auto points = Thinned(series.points, 600);
    const std::string css = "series-" + series.style + (series.background ? " background" : "");
    svg += "<path class=\"" + css + "\" d=\"" + Path(points, x, y) + "\"/>\n";
    if (!series.dots) continue;
    for (const auto& [px, py] : points) {
      if (!std::isfinite(py) || (y.logarithmic && py <= 0)) continue;
      svg += Format("<circle class=\"dot-%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>", series.style.c_str(), x.At(px),
                    y.At(py));
    }
  }
  svg += Format("<line class=\"cursor\" y1=\"%.1f\" y2=\"%.1f\"/>\n</svg>", y.end, y.begin);

  std::string legend;
  const auto visible =
      std::count_if(chart.series.begin(), chart.series.end(), [](const auto& s) { return !s.background; });
  if (visible > 1) {
    for (const ChartSeries& series : chart.series) {
      if (series.background) continue;
      legend += "<span class=\"key\"><svg width=\"22\" height=\"8\" aria-hidden=\"true\"><path class=\"series-" +
                series.style + "\" d=\"M1 4L21 4\"/></svg>" + EscapeHtml(series.name) + "</span>";
    }
    legend = "<span class=\"legend\">" + legend + "</span>";
  }
  std::string unit = chart.y_unit;
  if (y.logarithmic) unit += unit.empty() ? "log scale" : ", log scale";
  if (!unit.empty()) unit = "<span class=\"unit\">" + EscapeHtml(unit) + "</span>";
  return "<figure class=\"chart\"><figcaption><strong>" + EscapeHtml(chart.title) + "</strong>" + unit + legend +
         "</figcaption>" + svg + "<div class=\"tip\" hidden></div></figure>\n";
}

}  // namespace radlads
