#include "eval/compare.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "eval/page.h"

namespace radlads {
namespace {

using JsonValue = nlohmann::ordered_json;

struct Results {
  std::string path;
  JsonValue json;
};

absl::StatusOr<Results> ReadResults(const std::string& directory) {
  Results results{JoinPath(directory, "results.json"), {}};
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(results.path));
  RADLADS_ASSIGN_OR_RETURN(results.json, ParseOrderedJson(text, {.where = results.path, .python_numbers = true}));
  if (!results.json.is_object())
    return InvalidArgument(results.path, ": expected the JSON that //eval:run tasks writes");
  for (const char* key : {"results", "versions", "n-shot", "n-samples", "higher_is_better", "chance"}) {
    if (!results.json.contains(key) || !results.json[key].is_object()) {
      return InvalidArgument(results.path, ": \"", key, "\" is missing; it is not from //eval:run tasks");
    }
  }
  return results;
}

// results[key][task], or null.
JsonValue Entry(const JsonValue& results, const std::string& key, const std::string& task) {
  return results.value(key, JsonValue::object()).value(task, JsonValue());
}

// The member, or nothing where there is no such number.
std::optional<double> Number(const JsonValue& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? std::optional<double>(*found) : std::nullopt;
}

std::string HeadlineOf(const JsonValue& directions) {
  for (const char* name : {"acc_norm", "acc", "exact_match"}) {
    if (directions.contains(name)) return name;
  }
  return "";
}

bool IsAccuracy(const std::string& metric) {
  return metric.starts_with("acc") || metric == "exact_match";
}

std::string Percent(const std::optional<double>& value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f%%", value.value_or(0) * 100);
  return value ? text : "-";
}

std::string Cell(const ComparedMetric& metric, const ComparedValue& value) {
  char text[64];
  if (IsAccuracy(metric.metric)) {
    std::snprintf(text, sizeof(text), "%.4f %7s", value.value, Percent(value.relative).c_str());
  } else {
    std::snprintf(text, sizeof(text), "%.4f %6.3fx", value.value, value.relative.value_or(0));
  }
  return text;
}

}  // namespace

absl::StatusOr<Comparison> CompareResults(const std::string& teacher, const std::vector<std::string>& students) {
  std::vector<Results> all;
  Comparison comparison;
  std::vector<std::string> directories = {teacher};
  directories.insert(directories.end(), students.begin(), students.end());
  for (const std::string& directory : directories) {
    RADLADS_ASSIGN_OR_RETURN(Results results, ReadResults(directory));
    all.push_back(std::move(results));
    comparison.models.push_back(ModelName(directory));
  }
  const JsonValue& first = all.front().json;
  for (const auto& [task, row] : first["results"].items()) {
    if (!std::all_of(all.begin(), all.end(), [&, &name = task](auto& r) { return r.json["results"].contains(name); }))
      continue;
    for (const Results& results : all) {
      for (const char* key : {"versions", "n-shot", "n-samples", "task_hashes"}) {
        const JsonValue ours = Entry(results.json, key, task), theirs = Entry(first, key, task);
        if (ours == theirs) continue;
        return FailedPrecondition(results.path, ": ", key, " of ", task, " is ", ours.dump(), ", but ", theirs.dump(),
                                  " in ", all.front().path, "; run the same task on both");
      }
    }
    const JsonValue directions = first["higher_is_better"].value(task, JsonValue::object());
    const JsonValue chances = first["chance"].value(task, JsonValue::object());
    const std::string headline = HeadlineOf(directions);
    for (const auto& [name, higher] : directions.items()) {
      ComparedMetric metric{.task = task,
                            .metric = name,
                            .higher_is_better = higher == true,
                            .chance = Number(chances, name).value_or(0),
                            .headline = name == headline,
                            .values = {}};
      for (const Results& results : all) {
        const JsonValue& values = results.json["results"][task];
        const std::optional<double> value = Number(values, name + ",none");
        if (!value) return InvalidArgument(results.path, ": ", task, " has no number \"", name, ",none\"");
        metric.values.push_back({*value, Number(values, name + "_stderr,none"), std::nullopt});
      }
      const double floor = IsAccuracy(name) ? metric.chance : 0, most = metric.values[0].value - floor;
      for (ComparedValue& value : metric.values) {
        if (most > 0) value.relative = (value.value - floor) / most;
      }
      comparison.metrics.push_back(std::move(metric));
    }
  }
  if (comparison.metrics.empty()) return InvalidArgument("no task is in all of the results");
  for (size_t m = 0; m < all.size(); ++m) {
    double value = 0, relative = 0;
    int count = 0, relatives = 0;
    for (const ComparedMetric& metric : comparison.metrics) {
      if (!metric.headline) continue;
      value += metric.values[m].value;
      ++count;
      if (!metric.values[m].relative) continue;
      relative += *metric.values[m].relative;
      ++relatives;
    }
    if (count == 0) break;
    comparison.average.push_back(
        {value / count, std::nullopt, relatives > 0 ? std::optional<double>(relative / relatives) : std::nullopt});
  }
  return comparison;
}

std::string Comparison::Table() const {
  std::vector<std::vector<std::string>> rows = {{"task", "metric", "chance"}};
  for (size_t m = 0; m < models.size(); ++m) rows[0].push_back(models[m] + (m == 0 ? " (teacher)" : ""));
  for (const ComparedMetric& metric : metrics) {
    char chance[32] = "-";
    if (IsAccuracy(metric.metric)) std::snprintf(chance, sizeof(chance), "%.4f", metric.chance);
    rows.push_back({metric.task, metric.metric + (metric.headline ? " *" : ""), chance});
    for (const ComparedValue& value : metric.values) rows.back().push_back(Cell(metric, value));
  }
  if (!average.empty()) {
    rows.push_back({"average of *", "", ""});
    for (const ComparedValue& value : average) rows.back().push_back(Cell({.task = "", .metric = "acc"}, value));
  }
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - row[i].size(), ' ');
      table += i < 2 ? row[i] + fill : fill + row[i];
      table += i + 1 < row.size() ? "  " : "\n";
    }
  }
  return table + "Percentages: share of what the teacher knows beyond chance. x: multiple of the teacher's.\n";
}

std::string Comparison::Json() const {
  JsonValue json = {{"models", models}, {"metrics", JsonValue::array()}};
  const auto value_json = [](const ComparedValue& value) {
    JsonValue row = {{"value", value.value}};
    if (value.standard_error) row["stderr"] = *value.standard_error;
    if (value.relative) row["relative"] = *value.relative;
    return row;
  };
  for (const ComparedMetric& metric : metrics) {
    JsonValue row = {{"task", metric.task},
                     {"metric", metric.metric},
                     {"higher_is_better", metric.higher_is_better},
                     {"chance", metric.chance},
                     {"headline", metric.headline}};
    for (const ComparedValue& value : metric.values) row["values"].push_back(value_json(value));
    json["metrics"].push_back(std::move(row));
  }
  for (const ComparedValue& value : average) json["average"].push_back(value_json(value));
  return json.dump(2) + "\n";
}

}  // namespace radlads
