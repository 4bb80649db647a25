#include "eval/tasks_verb.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "eval/page.h"
#include "eval/scorer.h"
#include "eval/tasks/evaluate.h"
#include "eval/tasks/results.h"
#include "eval/tasks_page.h"

namespace radlads {
namespace {

absl::StatusOr<std::vector<Task>> LoadTasks(const TasksFlags& flags) {
  std::vector<Task> tasks;
  for (const std::string& path : flags.tasks) {
    RADLADS_ASSIGN_OR_RETURN(TaskConfig config, ReadTaskConfig(path));
    for (const Task& other : tasks) {
      if (other.config().task == config.task) {
        return InvalidArgument(path, " and ", other.config().path, " are both the task ", config.task);
      }
    }
    if (flags.num_fewshot >= 0) config.num_fewshot = flags.num_fewshot;
    RADLADS_ASSIGN_OR_RETURN(Task task, Task::Load(std::move(config)));
    tasks.push_back(std::move(task));
  }
  return tasks;
}

}  // namespace

void AddTasksVerb(CLI::App& app, TasksFlags& flags, const std::function<void()>& run) {
  CLI::App* verb = app.add_subcommand("tasks", "Runs tasks of lm_eval (local YAML and jsonl files) with a model.");
  AddModelFlags(*verb, flags.model);
  verb->add_option("--tasks", flags.tasks, "YAML files of the tasks.")->required();
  verb->add_option(
          "--output", flags.output,
          "Directory for results.json, report.html, samples_<task>.jsonl and requests.jsonl; a run that was stopped "
          "goes on with the answers in the last.")
      ->required();
  verb->add_option("--limit", flags.limit, "Documents of each task, the first ones; default: all.")->check(AtLeast(1));
  verb->add_option("--num_fewshot", flags.num_fewshot, "Examples before each document; default: what the task says.")
      ->check(AtLeast(0));
  verb->add_option("--fewshot_seed", flags.fewshot_seed, "Seed by which the examples are drawn.")
      ->check(AtLeast(0))
      ->capture_default_str();
  verb->add_option("--max_length", flags.max_length, "Tokens of context; default: what the model names, or 2048.")
      ->check(AtLeast(1));
  verb->add_option("--bootstrap_iters", flags.bootstrap_iterations,
                   "Resamples for the standard error of perplexity; 0: no standard errors.")
      ->check(AtLeast(0))
      ->capture_default_str();
  verb->callback(run);
}

absl::Status RunTasks(const TasksFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<Task> tasks, LoadTasks(flags));
  RADLADS_ASSIGN_OR_RETURN(const OpenedModel opened, OpenModel(flags.model));
  const std::stop_source full;
  RADLADS_ASSIGN_OR_RETURN(const auto scorer, MakeScorer(*opened.model, *opened.tokenizer,
                                                         {.batch_tokens = flags.model.batch_tokens,
                                                          .max_length = flags.max_length,
                                                          .stop = full.get_token()}));
  Log().info("scoring with {}, context {} tokens", flags.model.model, scorer->max_length());
  RADLADS_RETURN_IF_ERROR(MakeDirectories(flags.output));
  const std::string run = Concatenate(opened.identity, ", context ", scorer->max_length());
  RADLADS_ASSIGN_OR_RETURN(const auto journal, ResponseJournal::Open(JoinPath(flags.output, "requests.jsonl"), run, full));

  const EvaluateOptions options = {
      .requests = {.limit = flags.limit, .fewshot_seed = static_cast<uint64_t>(flags.fewshot_seed)},
      .bootstrap_iterations = flags.bootstrap_iterations};
  const nlohmann::ordered_json settings = {{"dtype", opened.dtype},
                                           {"max_length", scorer->max_length()},
                                           {"limit", flags.limit},
                                           {"fewshot_seed", flags.fewshot_seed},
                                           {"bootstrap_iters", flags.bootstrap_iterations}};
  std::vector<EvaluatedTask> evaluated;
  for (const Task& task : tasks) {
    RADLADS_ASSIGN_OR_RETURN(TaskResult result, EvaluateTask(task, *scorer, *opened.tokenizer, *journal, options));
    evaluated.push_back({&task, std::move(result)});
    RADLADS_RETURN_IF_ERROR(WriteResults(flags.output, evaluated, flags.model.model, settings));
    RADLADS_RETURN_IF_ERROR(
        WriteFileAtomically(JoinPath(flags.output, "report.html"), TasksPage(evaluated, ModelName(flags.model.model))));
  }
  std::fputs(ResultsTable(evaluated).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace radlads
