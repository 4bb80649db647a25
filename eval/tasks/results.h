// What came out of tasks: JSON in the layout of lm_eval's results files, and a table.
#ifndef RADLADS_EVAL_TASKS_RESULTS_H_
#define RADLADS_EVAL_TASKS_RESULTS_H_

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eval/tasks/evaluate.h"
#include "eval/tasks/task.h"

namespace radlads {

struct EvaluatedTask {
  const Task* task = nullptr;
  TaskResult result;
};

// The keys of lm_eval's results_*.json that describe what was measured ("results", "versions", "n-shot",
// "higher_is_better", "n-samples", "configs", "config"), and "chance": by task and metric, what guessing gives. `model`
// and `settings` (an object) go under "config".
nlohmann::ordered_json ResultsJson(const std::vector<EvaluatedTask>& tasks, const std::string& model,
                                   const nlohmann::ordered_json& settings);
// One line of samples_<task>.jsonl: the document, what was asked, what was answered, how it was measured.
nlohmann::ordered_json SampleJson(const Task& task, const DocumentResult& document);

// results.json and samples_<task>.jsonl in the existing `directory`, each written whole or not at all.
absl::Status WriteResults(const std::string& directory, const std::vector<EvaluatedTask>& tasks,
                          const std::string& model, const nlohmann::ordered_json& settings);

// Task, shots, metric, value and standard error, aligned; an arrow says whether higher or lower is better.
std::string ResultsTable(const std::vector<EvaluatedTask>& tasks);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_RESULTS_H_
