#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/status.h"
#include "eval/needle/needle.h"

namespace radlads {
namespace {

using JsonValue = nlohmann::ordered_json;

constexpr char kGroup[] = "needle";

std::string TaskName(int64_t length, double depth) {
  return Concatenate(kGroup, "_", length, "_", absl::StrFormat("%g", depth));
}

JsonValue SampleJson(const NeedleAnswer& answer, size_t id) {
  const NeedlePrompt& prompt = answer.prompt;
  JsonValue json = {{"doc_id", id},
                    {"doc",
                     {{"length", prompt.length},
                      {"depth", prompt.depth},
                      {"sample", prompt.sample},
                      {"needle_at", prompt.needle_at},
                      {"key", prompt.key},
                      {"value", prompt.value},
                      {"distractors", prompt.distractors}}},
                    {"target", prompt.value},
                    {"resps", JsonValue::array({JsonValue::array({answer.text}), answer.logprobs})}};
  for (int metric = 0; metric < kNeedleMetrics; ++metric) {
    const char* name = NeedleMetricName(static_cast<NeedleMetric>(metric));
    json["metrics"].push_back(name);
    json[name] = answer.values[metric];
  }
  return json;
}

}  // namespace

const char* NeedleMetricName(NeedleMetric metric) {
  constexpr const char* kNames[kNeedleMetrics] = {"exact_match", "acc", "logprob"};
  return kNames[metric];
}

std::string NeedleResult::Table() const {
  const std::string what[kNeedleMetrics] = {"exact_match: the first number of the answer is the hidden one",
                                            Concatenate("acc: the hidden number is the likeliest of ", choices,
                                                        " (chance ", absl::StrFormat("%.3g", Chance(kNeedleAcc)), ")"),
                                            "logprob: of the hidden number, by token"};
  std::string table;
  for (int i = 0; i < kNeedleMetrics; ++i) {
    const auto metric = static_cast<NeedleMetric>(i);
    const auto cell = [&](std::optional<int64_t> length, std::optional<double> depth) {
      return absl::StrFormat("%9.3f", Mean(metric, length, depth).value);
    };
    table += Concatenate(i == 0 ? "" : "\n", what[i], "\ndepth \\ length");
    for (const int64_t length : lengths) table += absl::StrFormat("%9.0f", static_cast<double>(length));
    table += "      all\n";
    for (const double depth : depths) {
      table += absl::StrFormat("%14g", depth);
      for (const int64_t length : lengths) table += cell(length, depth);
      table += cell(std::nullopt, depth) + "\n";
    }
    table += "           all";
    for (const int64_t length : lengths) table += cell(length, std::nullopt);
    table += cell(std::nullopt, std::nullopt) + "\n";
  }
  return table;
}

JsonValue NeedleResult::Json(const std::string& model, const JsonValue& settings) const {
  JsonValue json;
  const auto add = [&](const std::string& name, const std::string& alias, std::optional<int64_t> length,
                       std::optional<double> depth) {
    const int64_t count = (length ? 1 : lengths.size()) * (depth ? 1 : depths.size()) * samples;
    JsonValue row = {{"name", name}, {"alias", alias}, {"sample_len", count}};
    for (int i = 0; i < kNeedleMetrics; ++i) {
      const auto metric = static_cast<NeedleMetric>(i);
      const std::string metric_name = NeedleMetricName(metric);
      const NeedleValue mean = Mean(metric, length, depth);
      row[metric_name + ",none"] = mean.value;
      row[metric_name + "_stderr,none"] = mean.standard_error ? JsonValue(*mean.standard_error) : JsonValue("N/A");
      json["higher_is_better"][name][metric_name] = true;
      json["chance"][name][metric_name] = Chance(metric);
    }
    json["results"][name] = row;
    json["versions"][name] = 1;
    json["n-shot"][name] = 0;
    json["n-samples"][name] = {{"original", count}, {"effective", count}};
  };
  add(kGroup, kGroup, std::nullopt, std::nullopt);
  json["groups"][kGroup] = json["results"][kGroup];
  json["group_subtasks"][kGroup] = JsonValue::array();
  size_t cell = 0;
  for (const int64_t length : lengths) {
    for (const double depth : depths) {
      const std::string name = TaskName(length, depth);
      add(name, Concatenate(" - ", length, " tokens, depth ", absl::StrFormat("%g", depth)), length, depth);
      json["group_subtasks"][kGroup].push_back(name);
      json["configs"][name] = {
          {"task", name},
          {"output_type", "generate_until"},
          {"generation_kwargs", {{"until", {"\n"}}, {"max_gen_toks", kNeedleAnswerTokens}, {"do_sample", false}}},
          {"num_fewshot", 0},
          {"metadata", {{"version", 1}, {"length", length}, {"depth", depth}}}};
      json["task_hashes"][name] = fingerprints[cell++];
    }
  }
  json["config"] = settings;
  json["config"]["model"] = "radlads";
  json["config"]["model_args"] = {{"pretrained", model}};
  return json;
}

absl::Status WriteNeedleResults(const NeedleResult& result, const std::string& directory, const std::string& model,
                                const JsonValue& settings) {
  std::string lines;
  for (size_t i = 0; i < result.answers.size(); ++i) lines += SampleJson(result.answers[i], i).dump() + "\n";
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "samples_needle.jsonl"), lines));
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "report.html"), result.Html(model, settings)));
  return WriteFileAtomically(JoinPath(directory, "results.json"), result.Json(model, settings).dump(2) + "\n");
}

}  // namespace radlads
