// Line charts as inline SVG: no script and no network needed to look at them. Colours come from the page's CSS
// (classes "series-<style>"), so that one drawing serves light and dark.
#ifndef RADLADS_DISTILL_CHART_H_
#define RADLADS_DISTILL_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace radlads {

struct ChartSeries {
  std::string name;
  // CSS class suffix: what the colour of the line means ("student", "teacher", ...).
  std::string style;
  // By rising x. A y that is not finite interrupts the line.
  std::vector<std::pair<double, double>> points;
  // A faint line of raw values beneath a smoothed one: not in the legend, not in the tooltip.
  bool background = false;
  // A dot at every point: for few, measured values.
  bool dots = false;
};

// A vertical line where something begins. Its label, or the first word of it, stands at its top: on its right where
// that fits before the next line, else on its left, and nowhere where there is no room.
struct ChartMark {
  double x = 0;
  std::string label;
};

struct Chart {
  std::string title;
  std::string x_unit;  // "tokens": in the axis label and the tooltip
  std::string y_unit;
  std::vector<ChartSeries> series;
  std::vector<ChartMark> marks;
  // Logarithmic y where values span more than this factor and all are positive; 0 means never.
  double log_beyond = 4;
  // The linear y axis begins at 0.
  bool from_zero = false;
  int width = 400, height = 250;  // user units of the viewBox, about CSS pixels on a phone
};

// A <figure> with caption, legend (for two series and more) and the drawing; "" when there is no finite point.
std::string RenderChart(const Chart& chart);

// Round numbers that cover [low, high], about `count` of them: steps of 1, 2 or 5 times a power of ten.
std::vector<double> LinearTicks(double low, double high, int count);
// Round numbers within [low, high] for a logarithmic axis; 0 < low < high. Between 2 and about `count`.
std::vector<double> LogTicks(double low, double high, int count);
// 0.0003 -> "3e-4", 1500 -> "1500", 123456 -> "123 k", 2.5 -> "2.5".
std::string TickLabel(double value);

// Exponential running mean of y over about `span` points, unbiased at the start; what is not finite stays so.
std::vector<std::pair<double, double>> Smoothed(const std::vector<std::pair<double, double>>& points, double span);

}  // namespace radlads

#endif  // RADLADS_DISTILL_CHART_H_
