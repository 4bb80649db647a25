// Pieces of the pages that //eval:run writes: one file each, no network, light and dark, wide and narrow.
#ifndef RADLADS_EVAL_PAGE_H_
#define RADLADS_EVAL_PAGE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace radlads {

// What tables and pages call the model in a directory or file: the last part of its path.
std::string ModelName(const std::string& path);

// From the doctype to the headline: `title` is the page's title and its <h1>.
std::string PageHead(std::string_view title);
inline constexpr char kPageEnd[] = "</body></html>\n";

struct Bar {
  std::string label;
  std::string number;  // the value, as text
  double value = 0;
  std::optional<double> standard_error, chance;
  size_t model = 0;  // whose it is: 0 the teacher or the only model, 1 the first student ...: its colour
};

struct BarChart {
  std::string title, unit;
  double most = 1;  // the bar of this value is as long as there is room
  std::vector<Bar> bars;
};

// A <figure>: a line for each bar, with its label and number as text.
std::string RenderBars(const BarChart& chart);

// A table in which rows of text are scrolled sideways where they are too wide. Cells of the first `headers` columns are
// left-aligned. All text is escaped here.
struct PageTable {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  size_t headers = 1;
  // By row and column, where not empty: how strongly the cell is coloured, from 0 to 1, or a negative number: not.
  std::vector<std::vector<double>> heat;
};
std::string RenderTable(const PageTable& table);

}  // namespace radlads

#endif  // RADLADS_EVAL_PAGE_H_
