// What report.html is made of: a run directory, read.
#ifndef RADLADS_DISTILL_REPORT_DATA_H_
#define RADLADS_DISTILL_REPORT_DATA_H_

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/yaml.h"
#include "distill/metrics_log.h"

namespace radlads {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct ReportStage {
  std::string name;  // "" for a run of one stage
  int kind = 0;      // train.attention_distillation_stage; 0 when unknown
  YamlPointer config;        // null where there is no config.yaml
  std::string config_text;  // config.yaml as it stands
  std::vector<MetricsLine> lines;
  double first_token = 0;  // tokens of the stages before this one

  int64_t Tokens() const { return lines.empty() ? 0 : lines.back().tokens; }
  // Seconds of training, from the logged rates (pauses between two starts of a run do not count); kUnknown without
  // them.
  double Seconds() const;
  // (cumulative tokens, value) of the lines that have the metric.
  std::vector<std::pair<double, double>> Series(const std::string& metric) const;
  // The last (or first) value of the metric; kUnknown when there is none.
  double Last(const std::string& metric) const;
  double First(const std::string& metric) const;
};

struct ReportSample {
  std::string prompt;
  std::optional<std::string> teacher, student;  // absent: not asked; empty: ended at once
};

struct ReportScore {
  std::string name;
  double tokens = kUnknown, nll = kUnknown, perplexity = kUnknown, ratio = kUnknown, tokens_per_second = kUnknown;
};

// Architecture by rows ("layers" -> "30"); empty when the directory holds no config.json.
struct ReportModel {
  std::string name;
  std::vector<std::pair<std::string, std::string>> facts;
  int64_t parameters = 0;  // 0 when the weights are not safetensors
};

struct ReportData {
  std::string name;
  std::vector<ReportStage> stages;
  std::vector<ReportSample> samples;
  std::string scored_text;  // the data of `scores`
  std::vector<ReportScore> scores;
  ReportModel teacher, student;
  std::string config_text;  // of the whole pipeline; "" for a run of one stage
};

// Errors as WriteReport says.
absl::StatusOr<ReportData> ReadReportData(const std::string& run_directory);

}  // namespace radlads

#endif  // RADLADS_DISTILL_REPORT_DATA_H_
