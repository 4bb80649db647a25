// Runs tasks: requests to the scorer, answers to metrics.
#ifndef RADLADS_EVAL_TASKS_EVALUATE_H_
#define RADLADS_EVAL_TASKS_EVALUATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/scorer.h"
#include "eval/tasks/response_journal.h"
#include "eval/tasks/metrics.h"
#include "eval/tasks/requests.h"
#include "eval/tasks/task.h"

namespace radlads {

struct DocumentResult {
  int64_t document = 0;
  std::vector<TaskRequest> requests;
  std::vector<TaskResponse> responses;
  std::vector<MetricValue> values;  // in the order of the task's metrics
};

struct MetricResult {
  MetricConfig metric;
  double value = 0;
  std::optional<double> standard_error;
  double chance = 0;  // what guessing gives; 0 for what is no accuracy of multiple_choice
};

struct TaskResult {
  std::vector<MetricResult> metrics;
  std::vector<DocumentResult> documents;
};

struct EvaluateOptions {
  RequestOptions requests;
  int64_t bootstrap_iterations = 100000;
};

// Answers that the journal has are taken from it, others are asked of the scorer and written to it as they come, with
// progress on stderr. Errors name the task.
absl::StatusOr<TaskResult> EvaluateTask(const Task& task, Scorer& scorer, const Tokenizer& tokenizer, ResponseJournal& journal,
                                        const EvaluateOptions& options);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_EVALUATE_H_
