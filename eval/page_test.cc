#include "eval/page.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Page, HeadNamesLanguageTitleAndViewport) {
  const std::string html = PageHead("a < b") + kPageEnd;
  for (const char* part : {"<!doctype html>", "<html lang=\"en\">", "name=\"viewport\"", "<title>a &lt; b</title>",
                           "<h1>a &lt; b</h1>", "prefers-color-scheme: dark"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(html.find("http"), std::string::npos) << "the page needs no network";
}

TEST(Page, BarsEndAtTheirValues) {
  const std::string html = RenderBars(
      {.title = "T",
       .unit = "",
       .most = 2,
       .bars = {{.label = "<teacher>", .number = "1.5", .value = 1.5},
                {.label = "student", .number = "0.5", .value = 0.5, .standard_error = 0.2, .chance = 0.4, .model = 1},
                {.label = "beyond", .number = "3", .value = 3, .model = 9}}});
  for (const char* part :
       {"&lt;teacher&gt;", "class=\"fill first\" style=\"width:75.00%\"",
        "class=\"fill second\" style=\"width:25.00%\"", "class=\"error\" style=\"left:15.00%;right:65.00%\"",
        "class=\"chance\" style=\"left:20.00%\"", "class=\"fill fourth\" style=\"width:100.00%\""}) {
    EXPECT_NE(html.find(part), std::string::npos) << part << " in\n" << html;
  }
  EXPECT_EQ(Count(html, "class=\"number\""), 3u);
}

TEST(Page, TablesHaveHeadersAndHeat) {
  const std::string html = RenderTable(
      {.caption = "C", .head = {"a", "b"}, .rows = {{"x", "1"}, {"y", "2"}}, .heat = {{-1, 0.5}, {-1, -1}}});
  EXPECT_EQ(Count(html, "<th scope=\"col\""), 2u);
  EXPECT_EQ(Count(html, "<caption><span>C</span></caption>"), 1u) << html;
  EXPECT_EQ(Count(html, "<th scope=\"row\">"), 2u);
  EXPECT_EQ(Count(html, "class=\"heat\""), 1u) << html;
  EXPECT_NE(html.find("<td>2</td>"), std::string::npos) << html;
}

TEST(Page, ModelsAreCalledByTheLastPartOfTheirPath) {
  EXPECT_EQ(ModelName("out/mine"), "mine");
  EXPECT_EQ(ModelName("out/mine/"), "mine");
  EXPECT_EQ(ModelName("out/../other/model.gguf"), "model.gguf");
}

}  // namespace
}  // namespace radlads
