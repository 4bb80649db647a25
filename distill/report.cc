#include "distill/report.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/file.h"
#include "base/html.h"
#include "base/progress.h"
#include "base/status.h"
#include "distill/chart.h"
#include "distill/report_data.h"
#include "distill/report_style.h"

namespace radlads {
namespace {

std::string Significant(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  if (std::abs(value) >= 1e5) return HumanCount(value, "");
  char text[48];
  const int decimals = value == 0 ? 0 : digits - 1 - static_cast<int>(std::floor(std::log10(std::abs(value))));
  std::snprintf(text, sizeof(text), "%.*f", std::min(9, std::max(0, decimals)), value);
  return text;
}

std::string Count(double value, const std::string& unit) {
  return std::isfinite(value) ? HumanCount(value, unit) : "–";
}

std::string Duration(double seconds) {
  return std::isfinite(seconds) ? HumanDuration(seconds) : "–";
}

std::string Ratio(double value) {
  return std::isfinite(value) ? Significant(value, 3) + " ×" : "–";
}

std::string StageTask(int kind) {
  switch (kind) {
    case 1:
      return "align every mixer with the attention it replaces";
    case 2:
      return "match the teacher's logits";
    case 21:
      return "match the teacher's logits, only the mixers learn";
    case -1:
      return "learn from the text itself";
    default:
      return "";
  }
}

std::string LossUnit(int kind) {
  return kind == 1 ? "distance per layer and token" : kind == 0 ? "" : "nats per token";
}

std::string StageTitle(const ReportData& data, size_t index) {
  const std::string& name = data.stages[index].name;
  return name.empty() ? data.name : name;
}

std::string Tile(const std::string& value, const std::string& label) {
  return "<div><dt>" + EscapeHtml(label) + "</dt><dd>" + EscapeHtml(value) + "</dd></div>\n";
}

struct Table {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // the first cell names the row
  std::set<size_t> minor = {};                 // columns that a narrow screen leaves out

  std::string Html() const {
    std::string html =
        "<div class=\"scroll\"><table><caption><span>" + EscapeHtml(caption) + "</span></caption><thead><tr>";
    const auto mark = [this](size_t column) { return std::string(minor.count(column) ? " class=\"minor\"" : ""); };
    for (size_t i = 0; i < head.size(); ++i)
      html += "<th scope=\"col\"" + mark(i) + ">" + EscapeHtml(head[i]) + "</th>";
    html += "</tr></thead><tbody>\n";
    for (const auto& row : rows) {
      html += "<tr><th scope=\"row\">" + EscapeHtml(row[0]) + "</th>";
      for (size_t i = 1; i < row.size(); ++i) html += "<td" + mark(i) + ">" + EscapeHtml(row[i]) + "</td>";
      html += "</tr>\n";
    }
    return html + "</tbody></table></div>\n";
  }
};

// What is known of the whole run.
struct Summary {
  double tokens = 0, seconds = 0;
  double student = kUnknown, teacher = kUnknown;
};

Summary Summarize(const ReportData& data) {
  Summary summary;
  for (const ReportStage& stage : data.stages) {
    summary.tokens += stage.Tokens();
    if (std::isfinite(stage.Seconds())) summary.seconds += stage.Seconds();
    const double student = stage.Last("validation_perplexity"), teacher = stage.Last("teacher_validation_perplexity");
    if (std::isfinite(student)) summary.student = student;
    if (std::isfinite(teacher)) summary.teacher = teacher;
  }
  return summary;
}

std::string Header(const ReportData& data, const Summary& summary) {
  std::string html =
      "<header><p class=\"eyebrow\">radlads distillation report</p><h1>" + EscapeHtml(data.name) + "</h1>\n<p>";
  std::string what = data.teacher.name.empty() ? "" : data.teacher.name;
  if (!data.student.name.empty()) what += (what.empty() ? "Training of " : " distilled into ") + data.student.name;
  if (what.empty()) what = "A training run";
  what += ", " + Count(summary.tokens, "") + " tokens in " + std::to_string(data.stages.size()) +
          (data.stages.size() == 1 ? " stage" : " stages");
  if (summary.seconds > 0) what += ", " + Duration(summary.seconds) + " of training";
  html += EscapeHtml(what) + ".</p></header>\n<dl class=\"tiles\">\n";
  if (std::isfinite(summary.student))
    html += Tile(Significant(summary.student, 4), "student's perplexity on validation text");
  if (std::isfinite(summary.teacher))
    html += Tile(Significant(summary.teacher, 4), "teacher's perplexity on the same text");
  if (std::isfinite(summary.student / summary.teacher))
    html += Tile(Ratio(summary.student / summary.teacher), "student over teacher (1 × is equal)");
  html += Tile(Count(summary.tokens, ""), "training tokens");
  if (summary.seconds > 0) html += Tile(Duration(summary.seconds), "of training");
  return html + "</dl>\n";
}

// The teacher's perplexity may be logged once a stage; the line goes on from there.
std::vector<std::pair<double, double>> Extended(std::vector<std::pair<double, double>> points, double end) {
  if (!points.empty() && points.back().first < end) points.emplace_back(end, points.back().second);
  return points;
}

std::string ValidationSection(const ReportData& data) {
  Chart chart;
  chart.title = "Perplexity on validation text";
  chart.x_unit = "training tokens";
  ChartSeries student{"student", "student", {}, false, true}, teacher{"teacher", "teacher", {}, false, false};
  Table table{"Perplexity on validation text, which is not trained on; the ratio is the student's over the teacher's.",
              {"", "student", "teacher", "ratio", "tokens", "time", "tokens/s"},
              {},
              {4, 5, 6}};
  double teacher_now = kUnknown;
  for (size_t i = 0; i < data.stages.size(); ++i) {
    const ReportStage& stage = data.stages[i];
    const auto points = stage.Series("validation_perplexity");
    if (std::isfinite(stage.Last("teacher_validation_perplexity")))
      teacher_now = stage.Last("teacher_validation_perplexity");
    student.points.insert(student.points.end(), points.begin(), points.end());
    const auto lines = Extended(stage.Series("teacher_validation_perplexity"), stage.first_token + stage.Tokens());
    teacher.points.insert(teacher.points.end(), lines.begin(), lines.end());
    if (data.stages.size() > 1) chart.marks.push_back({stage.first_token, StageTitle(data, i)});
    if (points.empty()) continue;
    if (i == 0 && stage.lines.front().values.count("validation_perplexity") && stage.lines.front().step == 0) {
      const double value = points.front().second;
      table.rows.push_back({"before training", Significant(value, 4), Significant(teacher_now, 4),
                            Ratio(value / teacher_now), "0", "–", "–"});
    }
    if (stage.Tokens() == 0) continue;  // scored before its first step only
    const double value = points.back().second;
    table.rows.push_back({"after " + StageTitle(data, i), Significant(value, 4), Significant(teacher_now, 4),
                          Ratio(value / teacher_now), Count(stage.Tokens(), ""), Duration(stage.Seconds()),
                          Count(stage.Tokens() / stage.Seconds(), "")});
  }
  if (student.points.empty()) return "";
  if (!teacher.points.empty()) teacher.points = Extended(teacher.points, student.points.back().first);
  chart.series = {teacher, student};
  Chart wide = chart;
  wide.width = 920;
  wide.height = 300;
  std::string html = "<section><h2>Student beside teacher</h2>\n<div class=\"wide\">" + RenderChart(wide) +
                     "</div><div class=\"narrow\">" + RenderChart(chart) + "</div>\n";
  return html + table.Html() + "</section>\n";
}

std::string ScoresSection(const ReportData& data) {
  if (data.scores.empty()) return "";
  Table table{"Every model read the same tokens" + (data.scored_text.empty() ? "" : " of " + data.scored_text) + ".",
              {"", "perplexity", "ratio", "nats per token", "tokens", "tokens/s"},
              {},
              {3, 4}};
  for (const ReportScore& score : data.scores) {
    table.rows.push_back({score.name, Significant(score.perplexity, 4), Ratio(score.ratio), Significant(score.nll, 4),
                          Count(score.tokens, ""), Count(score.tokens_per_second, "")});
  }
  return "<section><h2>Final perplexity</h2>\n" + table.Html() + "</section>\n";
}

std::string Answer(const std::string& text) {
  const bool empty = text.find_first_not_of(" \t\n") == std::string::npos;
  return empty ? "<p><em>(nothing: it ended at once)</em></p>" : "<p>" + EscapeHtml(text) + "</p>";
}

std::string SamplesSection(const ReportData& data) {
  if (data.samples.empty()) return "";
  std::string html = "<section><h2>Answers to the same prompts</h2>\n";
  for (const ReportSample& sample : data.samples) {
    html += "<article class=\"card\"><blockquote>" + EscapeHtml(sample.prompt) + "</blockquote><div class=\"answers\">";
    if (sample.teacher) html += "<div class=\"who-teacher\"><h4>Teacher</h4>" + Answer(*sample.teacher) + "</div>";
    if (sample.student) html += "<div class=\"who-student\"><h4>Student</h4>" + Answer(*sample.student) + "</div>";
    html += "</div></article>\n";
  }
  return html + "</section>\n";
}

// Metrics over the tokens of a stage; long, noisy ones as a smoothed line over the raw.
struct StageMetric {
  std::string metric, label, style;
};

Chart StageChart(const ReportStage& stage, const std::string& title, const std::string& unit,
                 const std::vector<StageMetric>& metrics) {
  Chart chart;
  chart.title = title;
  chart.x_unit = "tokens of the stage";
  chart.y_unit = unit;
  chart.marks.push_back({0, ""});
  for (const auto& [metric, label, style] : metrics) {
    auto points = stage.Series(metric);
    for (auto& point : points) point.first -= stage.first_token;
    if (points.empty()) continue;
    if (points.size() > 30) {
      chart.series.push_back({label, style, points, /*background=*/true});
      points = Smoothed(points, points.size() / 20.0);
    }
    chart.series.push_back({label, style, std::move(points)});
  }
  return chart;
}

// What is left of the distance in each layer, for a stage that logs "layer.<number>".
std::string LayersChart(const ReportStage& stage) {
  static const std::string kPrefix = "layer.";
  std::set<std::string> names;
  for (const MetricsLine& line : stage.lines) {
    for (const auto& [name, value] : line.values) {
      if (name.rfind(kPrefix, 0) == 0) names.insert(name);
    }
  }
  ChartSeries first{"first logged", "third", {}, false, true}, last{"last logged", "student", {}, false, true};
  for (const std::string& name : names) {
    const double layer = std::atof(name.c_str() + kPrefix.size());
    first.points.emplace_back(layer, stage.First(name));
    last.points.emplace_back(layer, stage.Last(name));
  }
  if (names.size() < 2) return "";
  Chart chart;
  chart.title = "Loss by layer";
  chart.x_unit = "layer";
  chart.y_unit = LossUnit(stage.kind);
  chart.series = {first, last};
  const std::string narrow = RenderChart(chart);
  chart.width = 920;
  return "<div class=\"wide\">" + RenderChart(chart) + "</div><div class=\"narrow\">" + narrow + "</div>";
}

std::string StagesSection(const ReportData& data) {
  std::string html = "<section><h2>How it was trained</h2>\n";
  for (size_t i = 0; i < data.stages.size(); ++i) {
    const ReportStage& stage = data.stages[i];
    const std::string task = StageTask(stage.kind);
    html += "<h3>" + EscapeHtml(StageTitle(data, i)) + "</h3><p class=\"note\">" +
            EscapeHtml(task.empty() ? "" : "Task: " + task + ". ");
    html += EscapeHtml(Count(stage.Tokens(), "") + " tokens, loss " + Significant(stage.First("loss"), 4) + " to " +
                       Significant(stage.Last("loss"), 4) + ", " + Duration(stage.Seconds()) + ".") +
            "</p>\n<div class=\"charts\">";
    html += RenderChart(StageChart(
        stage, "Loss", LossUnit(stage.kind),
        {{"loss", "loss", "student"}, {"kl", "KL from the teacher", "third"}, {"ce", "cross entropy", "fourth"}}));
    Chart rate = StageChart(stage, "Learning rate", "", {});
    rate.from_zero = true;
    rate.log_beyond = 0;
    const auto lr = stage.Series("lr"), lr2 = stage.Series("lr2");
    for (const auto& [points, label, style] :
         {std::tuple(lr, "all else", "student"), std::tuple(lr2, "time mixers", "third")}) {
      if (points.empty() || (points == lr2 && lr2 == lr && !rate.series.empty())) continue;
      rate.series.push_back({label, style, points});
      for (auto& point : rate.series.back().points) point.first -= stage.first_token;
    }
    html += RenderChart(rate);
    Chart speed =
        StageChart(stage, "Speed", "tokens per second", {{"tokens_per_second", "tokens per second", "student"}});
    speed.from_zero = true;
    speed.log_beyond = 0;
    html += RenderChart(speed);
    html +=
        RenderChart(StageChart(stage, "Gradient norm", "before clipping", {{"grad_norm", "gradient norm", "student"}}));
    html += "</div>\n<div class=\"charts\">" + LayersChart(stage);
    html += "</div>\n";
  }
  return html + "</section>\n";
}

std::string ModelsSection(const ReportData& data) {
  Table table{"Architecture, as in config.json.", {"", "teacher", "student"}, {}};
  const auto fact = [](const ReportModel& model, const std::string& label) -> std::string {
    for (const auto& [name, value] : model.facts) {
      if (name == label) return value;
    }
    return "–";
  };
  for (const auto& [label, value] : data.teacher.facts) table.rows.push_back({label, value, fact(data.student, label)});
  for (const auto& [label, value] : data.student.facts) {
    if (fact(data.teacher, label) == "–") table.rows.push_back({label, "–", value});
  }
  if (data.teacher.parameters > 0 || data.student.parameters > 0) {
    const auto size = [](int64_t n) { return n > 0 ? HumanCount(n, "") : std::string("–"); };
    table.rows.push_back({"parameters", size(data.teacher.parameters), size(data.student.parameters)});
  }
  return table.rows.empty() ? "" : "<section><h2>The models</h2>\n" + table.Html() + "</section>\n";
}

std::string ConfigSection(const ReportData& data) {
  std::string html;
  const auto fold = [&html](const std::string& title, const std::string& text) {
    if (!text.empty())
      html += "<details><summary>" + EscapeHtml(title) + "</summary><pre>" + EscapeHtml(text) + "</pre></details>\n";
  };
  fold("config.yaml of the whole run", data.config_text);
  for (size_t i = 0; i < data.stages.size(); ++i)
    fold("config.yaml of " + StageTitle(data, i), data.stages[i].config_text);
  return html.empty() ? "" : "<section><h2>Configuration</h2>\n" + html + "</section>\n";
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  char text[64];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  return text;
}

}  // namespace

absl::Status WriteReport(const std::string& run_directory) {
  RADLADS_ASSIGN_OR_RETURN(const ReportData data, ReadReportData(run_directory));
  const Summary summary = Summarize(data);
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
      EscapeHtml(data.name) + " · radlads report</title>\n<style>" + kReportStyle + "</style></head>\n<body>\n";
  html += Header(data, summary) + "<main>\n";
  html += ValidationSection(data) + ScoresSection(data) + SamplesSection(data) + StagesSection(data) +
          ModelsSection(data) + ConfigSection(data);
  html += "</main>\n<footer>Written " + Now() +
          " from metrics.jsonl. The same numbers are in the TensorBoard event files beside it.</footer>\n<script>" +
          kReportScript + "</script>\n</body></html>\n";
  return WriteFileAtomically(JoinPath(run_directory, "report.html"), html);
}

}  // namespace radlads
