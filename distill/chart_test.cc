#include "distill/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <string>
#include <vector>

namespace radlads {
namespace {

TEST(Ticks, LinearAreRoundAndCoverTheRange) {
  EXPECT_EQ(LinearTicks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(LinearTicks(-3, 4.5, 4), (std::vector<double>{-4, -2, 0, 2, 4, 6}));
  for (double high : {1e-7, 0.3, 7.7, 123456.0}) {
    const auto ticks = LinearTicks(0, high, 5);
    EXPECT_GE(ticks.size(), 3u) << high;
    EXPECT_LE(ticks.size(), 7u) << high;
    EXPECT_LE(high, ticks.back() * (1 + 1e-9)) << high;
  }
}

TEST(Ticks, LogarithmicStayWithinTheRangeAndAreFew) {
  const std::pair<double, double> ranges[] = {{9, 11},     {8, 60},   {10, 50000}, {1e-9, 1e9},
                                              {0.11, 0.9}, {1.01, 5}, {99, 1000}};
  for (const auto& [low, high] : ranges) {
    for (int count : {4, 6, 8}) {
      const auto ticks = LogTicks(low, high, count);
      EXPECT_GE(ticks.size(), 2u) << low << " to " << high;
      EXPECT_LE(ticks.size(), count + 2u) << low << " to " << high;
      for (size_t i = 0; i < ticks.size(); ++i) {
        EXPECT_GE(ticks[i], low * (1 - 1e-6));
        EXPECT_LE(ticks[i], high * (1 + 1e-6));
        if (i > 0) {
          EXPECT_GT(ticks[i], ticks[i - 1]);
        }
      }
    }
  }
}

TEST(Ticks, LabelsAreShort) {
  EXPECT_EQ(TickLabel(0), "0");
  EXPECT_EQ(TickLabel(2.5), "2.5");
  EXPECT_EQ(TickLabel(1500), "1500");
  EXPECT_EQ(TickLabel(123456), "123 k");
  EXPECT_EQ(TickLabel(1e6), "1 M");
  EXPECT_EQ(TickLabel(3e-4), "3e-4");
  EXPECT_EQ(TickLabel(-2.5e-5), "-2.5e-5");
}

TEST(SmoothedTest, IsUnbiasedAtTheStartAndSkipsGaps) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto smoothed = Smoothed({{0, 3}, {1, nan}, {2, 3}, {3, 3}}, 10);
  EXPECT_DOUBLE_EQ(smoothed[0].second, 3);
  EXPECT_TRUE(std::isnan(smoothed[1].second));
  EXPECT_DOUBLE_EQ(smoothed[3].second, 3);
}

TEST(RenderChartTest, NothingToShowIsEmpty) {
  Chart chart;
  EXPECT_EQ(RenderChart(chart), "");
  chart.series.push_back({"a", "student", {{0, std::nan("")}}});
  EXPECT_EQ(RenderChart(chart), "");
}

TEST(RenderChartTest, SurvivesDegenerateData) {
  for (const auto& points : std::vector<std::vector<std::pair<double, double>>>{{{5, 2}},
                                                                                {{0, 0}, {1, 0}},
                                                                                {{0, -1}, {1, -1}},
                                                                                {{0, 1e-300}, {1, 1e300}},
                                                                                {{0, 1}, {1, INFINITY}, {2, 3}}}) {
    Chart chart;
    chart.title = "<x>";
    chart.series.push_back({"a", "student", points, false, true});
    const std::string html = RenderChart(chart);
    EXPECT_NE(html.find("<svg"), std::string::npos);
    EXPECT_NE(html.find("&lt;x&gt;"), std::string::npos);
    EXPECT_EQ(html.find("\"nan"), std::string::npos) << html;
    EXPECT_EQ(html.find("inf\""), std::string::npos) << html;
    EXPECT_EQ(html.find("<x>"), std::string::npos);
  }
}

TEST(RenderChartTest, GapInterruptsTheLine) {
  Chart chart;
  chart.series.push_back({"a", "student", {{0, 1}, {1, 2}, {2, std::nan("")}, {3, 2}, {4, 1}}});
  const std::string html = RenderChart(chart);
  const size_t begin = html.find(" d=\"") + 4;
  const std::string path = html.substr(begin, html.find('"', begin) - begin);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2) << path;
  EXPECT_EQ(std::count(path.begin(), path.end(), 'L'), 2) << path;
}

struct DrawnLabel {
  std::string text;
  double begin, end;
};

// Labels of marks in the order of the drawing, with a width of 6.6 units a character.
std::vector<DrawnLabel> MarkLabels(const Chart& chart) {
  const std::string html = RenderChart(chart);
  const std::regex pattern("<text x=\"([0-9.-]+)\" y=\"14\"( text-anchor=\"end\")?>([^<]*)</text>");
  std::vector<DrawnLabel> labels;
  for (std::sregex_iterator at(html.begin(), html.end(), pattern), end; at != end; ++at) {
    const double x = std::stod((*at)[1]), width = 6.6 * (*at)[3].length();
    labels.push_back({(*at)[3], (*at)[2].matched ? x - width : x, (*at)[2].matched ? x : x + width});
  }
  return labels;
}

// Stages of a run, the last of which is short.
TEST(RenderChartTest, LabelsOfMarksAreWholeApartAndInside) {
  Chart chart;
  chart.series.push_back({"a", "student", {{0, 1}, {364000, 2}}});
  for (const double last : {348000.0, 363000.0, 364000.0}) {
    chart.marks = {{0, "stage1"}, {205000, "stage2"}, {last, "stage3"}};
    for (const int width : {400, 920}) {
      chart.width = width;
      const auto labels = MarkLabels(chart);
      ASSERT_EQ(labels.size(), 3u) << last << ", width " << width;
      for (size_t i = 0; i < labels.size(); ++i) {
        EXPECT_EQ(labels[i].text, "stage" + std::to_string(i + 1));
        EXPECT_GE(labels[i].begin, i == 0 ? 0 : labels[i - 1].end)
            << labels[i].text << " at " << last << ", width " << width;
        EXPECT_LE(labels[i].end, width) << labels[i].text << " at " << last;
      }
    }
  }
}

TEST(RenderChartTest, LabelsOfMarksShrinkToTheirFirstWordAndThenVanish) {
  Chart chart;
  chart.series.push_back({"a", "student", {{0, 1}, {100, 2}}});
  chart.marks = {{0, "align with a teacher"}, {20, "logits of the teacher"}, {21, "crowded out"}};
  const auto labels = MarkLabels(chart);
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels[0].text, "align");
  EXPECT_EQ(labels[1].text, "crowded out");
}

}  // namespace
}  // namespace radlads
