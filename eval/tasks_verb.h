// //eval:run tasks: lm_eval's tasks with a model, in process.
#ifndef RADLADS_EVAL_TASKS_VERB_H_
#define RADLADS_EVAL_TASKS_VERB_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eval/opened_model.h"

namespace radlads {

struct TasksFlags {
  ModelFlags model;
  std::string output;
  std::vector<std::string> tasks;
  int64_t limit = 0, num_fewshot = -1, fewshot_seed = 1234, max_length = 0, bootstrap_iterations = 100000;
};

// Adds the verb; `run` is called with the flags when it is chosen.
void AddTasksVerb(CLI::App& app, TasksFlags& flags, const std::function<void()>& run);

// Prints the table on standard output; writes results.json, report.html, samples_*.jsonl and requests.jsonl (the
// journal) in flags.output.
absl::Status RunTasks(const TasksFlags& flags);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_VERB_H_
