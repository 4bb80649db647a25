#include "eval/tasks/results.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const JinjaValue& value) {
  if (value.is_bool()) return value.as_bool();
  if (value.is_int()) return value.as_number();
  if (value.is_string()) return value.as_string();
  if (value.is_float()) return value.as_real();  // null where JSON has no such number
  if (value.is_list()) {
    Json list = Json::array();
    for (const JinjaValue& item : value.as_list()) list.push_back(ToJson(item));
    return list;
  }
  if (!value.is_dict()) return nullptr;
  Json object = Json::object();
  for (const auto& [key, item] : value.as_dict()) object[key] = ToJson(item);
  return object;
}

Json ConfigJson(const TaskConfig& config) {
  Json json = {
      {"task", config.task}, {"dataset_path", "json"}, {"dataset_kwargs", {{"data_files", config.data_files}}}};
  const auto split = [&](const char* key, const std::optional<std::string>& name) {
    if (name) json[key] = *name;
  };
  split("training_split", config.training_split);
  split("validation_split", config.validation_split);
  split("test_split", config.test_split);
  split("fewshot_split", config.fewshot_split);
  json["doc_to_text"] = ToJson(config.doc_to_text);
  json["doc_to_target"] = ToJson(config.doc_to_target);
  if (!config.doc_to_choice.is_none()) json["doc_to_choice"] = ToJson(config.doc_to_choice);
  json["description"] = config.description.is_none() ? Json("") : ToJson(config.description);
  json["target_delimiter"] = config.target_delimiter;
  json["fewshot_delimiter"] = config.fewshot_delimiter;
  json["num_fewshot"] = config.num_fewshot;
  json["output_type"] = OutputTypeName(config.output_type);
  if (config.output_type == OutputType::kGenerateUntil) {
    json["generation_kwargs"] = {{"until", config.generation.until},
                                 {"max_gen_toks", config.generation.max_new_tokens},
                                 {"do_sample", false},
                                 {"temperature", 0.0}};
  }
  json["metadata"] = {{"version", ToJson(config.version)}};
  return json;
}

}  // namespace

Json ResultsJson(const std::vector<EvaluatedTask>& tasks, const std::string& model, const Json& settings) {
  Json json;
  for (const EvaluatedTask& evaluated : tasks) {
    const TaskConfig& config = evaluated.task->config();
    const size_t count = evaluated.result.documents.size();
    Json row = {{"name", config.task}, {"alias", config.task}, {"sample_len", count}};
    for (const MetricResult& metric : evaluated.result.metrics) {
      const std::string& name = metric.metric.name;
      row[name + ",none"] = metric.value;
      row[name + "_stderr,none"] = metric.standard_error ? Json(*metric.standard_error) : Json("N/A");
      json["higher_is_better"][config.task][name] = metric.metric.higher_is_better;
      json["chance"][config.task][name] = metric.chance;
    }
    json["results"][config.task] = row;
    json["group_subtasks"][config.task] = Json::array();
    json["configs"][config.task] = ConfigJson(config);
    json["versions"][config.task] = ToJson(config.version);
    json["n-shot"][config.task] = config.num_fewshot;
    json["n-samples"][config.task] = {{"original", evaluated.task->documents().size()}, {"effective", count}};
  }
  json["config"] = settings;
  json["config"]["model"] = "radlads";
  json["config"]["model_args"] = {{"pretrained", model}};
  return json;
}

Json SampleJson(const Task& task, const DocumentResult& document) {
  const Document& fields = task.documents()[document.document];
  const auto target = task.Target(fields);
  Json json = {{"doc_id", document.document}, {"doc", ToJson(JinjaValue(Document(fields)))}};
  json["target"] = target.ok() ? ToJson(*target) : Json();
  const OutputType type = task.config().output_type;
  json["resps"] = Json::array();
  for (size_t i = 0; i < document.requests.size(); ++i) {
    const TaskRequest& request = document.requests[i];
    Json& arguments = json["arguments"]["gen_args_" + std::to_string(i)];
    Json response;
    if (type == OutputType::kGenerateUntil) {
      arguments = {{"arg_0", request.context}, {"arg_1", {{"until", task.config().generation.until}}}};
      response = document.responses[i].text;
    } else if (type == OutputType::kLoglikelihoodRolling) {
      arguments = {{"arg_0", request.continuation}};
      response = document.responses[i].loglikelihood.logprob;
    } else {
      arguments = {{"arg_0", request.context}, {"arg_1", request.continuation}};
      const LoglikelihoodResult& answer = document.responses[i].loglikelihood;
      response = Json::array({answer.logprob, answer.is_greedy});
    }
    json["resps"].push_back(Json::array({response}));
  }
  json["filter"] = "none";
  for (size_t m = 0; m < document.values.size(); ++m) {
    const std::string& name = task.config().metrics[m].name;
    const MetricValue& value = document.values[m];
    json["metrics"].push_back(name);
    json[name] =
        type == OutputType::kLoglikelihoodRolling ? Json::array({value.value, value.weight}) : Json(value.value);
  }
  return json;
}

absl::Status WriteResults(const std::string& directory, const std::vector<EvaluatedTask>& tasks,
                          const std::string& model, const Json& settings) {
  for (const EvaluatedTask& evaluated : tasks) {
    std::string lines;
    for (const DocumentResult& document : evaluated.result.documents) {
      lines += SampleJson(*evaluated.task, document).dump() + "\n";
    }
    const std::string name = "samples_" + evaluated.task->config().task + ".jsonl";
    RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, name), lines));
  }
  return WriteFileAtomically(JoinPath(directory, "results.json"), ResultsJson(tasks, model, settings).dump(2) + "\n");
}

std::string ResultsTable(const std::vector<EvaluatedTask>& tasks) {
  size_t width = 4;
  for (const EvaluatedTask& evaluated : tasks) width = std::max(width, evaluated.task->config().task.size());
  char line[512];
  std::snprintf(line, sizeof(line), "%-*s  %5s  %9s  %-15s    %10s  %s\n", static_cast<int>(width), "task", "shots",
                "documents", "metric", "value", "standard error");
  std::string table = line;
  for (const EvaluatedTask& evaluated : tasks) {
    const TaskConfig& config = evaluated.task->config();
    for (const MetricResult& metric : evaluated.result.metrics) {
      char error[32] = "-";
      if (metric.standard_error) std::snprintf(error, sizeof(error), "%.4f", *metric.standard_error);
      std::snprintf(line, sizeof(line), "%-*s  %5lld  %9zu  %-15s %s  %10.4f  %s\n", static_cast<int>(width),
                    config.task.c_str(), static_cast<long long>(config.num_fewshot), evaluated.result.documents.size(),
                    metric.metric.name.c_str(), metric.metric.higher_is_better ? "↑" : "↓", metric.value, error);
      table += line;
    }
  }
  return table;
}

}  // namespace radlads
