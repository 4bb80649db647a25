#include "eval/tasks_verb.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/status.h"
#include "eval/scorer.h"
#include "eval/tasks/evaluate.h"
#include "eval/tasks/results.h"
#include "model/precision.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

// Changes when a file of the model does.
std::string FilesOf(const std::string& path) {
  std::vector<std::string> files;
  const auto add = [&](const std::filesystem::path& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    const auto time = std::filesystem::last_write_time(file, error).time_since_epoch().count();
    files.push_back(Concatenate(file.filename().string(), " ", size, " ", time));
  };
  if (!IsDirectory(path)) {
    add(path);
  } else {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) add(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : ", ") + file;
  return text;
}

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
  verb->add_option("--model", flags.model, "Hugging Face directory, GGUF file or run.")->required();
  verb->add_option("--tasks", flags.tasks, "YAML files of the tasks.")->required();
  verb->add_option(
          "--output", flags.output,
          "Directory for results.json, samples_<task>.jsonl and requests.jsonl; a run that was stopped goes on "
          "with the answers in the last.")
      ->required();
  verb->add_option("--limit", flags.limit, "Documents of each task, the first ones; default: all.")
      ->check(CLI::PositiveNumber);
  verb->add_option("--num_fewshot", flags.num_fewshot, "Examples before each document; default: what the task says.")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--fewshot_seed", flags.fewshot_seed, "Seed by which the examples are drawn.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--batch_tokens", flags.batch_tokens, "Tokens that go through the model at once.")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--max_length", flags.max_length, "Tokens of context; default: what the model names, or 2048.")
      ->check(CLI::PositiveNumber);
  verb->add_option("--bootstrap_iters", flags.bootstrap_iterations,
                   "Resamples for the standard error of perplexity; 0: no standard errors.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  verb->add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(CLI::PositiveNumber);
  verb->callback(run);
}

absl::Status RunTasks(const TasksFlags& flags) {
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  RADLADS_ASSIGN_OR_RETURN(const std::vector<Task> tasks, LoadTasks(flags));
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  const std::string dtype = precision.dtype == at::kBFloat16 ? "bf16" : "fp32";
  Log().info("computing in {}: {}", dtype, precision.reason);
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(flags.model));
  RADLADS_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(directory));
  RADLADS_ASSIGN_OR_RETURN(const auto model, LoadForInference(directory, precision.dtype));
  RADLADS_ASSIGN_OR_RETURN(
      const auto scorer,
      MakeScorer(*model, *tokenizer, {.batch_tokens = flags.batch_tokens, .max_length = flags.max_length}));
  RADLADS_RETURN_IF_ERROR(MakeDirectories(flags.output));
  const std::string run = Concatenate(std::filesystem::absolute(directory).string(), " (", FilesOf(directory), ") in ",
                                      dtype, ", tokenizer ", tokenizer->Hash(), ", context ", scorer->max_length());
  RADLADS_ASSIGN_OR_RETURN(const auto journal, ResponseJournal::Open(JoinPath(flags.output, "requests.jsonl"), run));

  const EvaluateOptions options = {
      .requests = {.limit = flags.limit, .fewshot_seed = static_cast<uint64_t>(flags.fewshot_seed)},
      .bootstrap_iterations = flags.bootstrap_iterations};
  const nlohmann::ordered_json settings = {{"dtype", dtype},
                                           {"max_length", scorer->max_length()},
                                           {"limit", flags.limit},
                                           {"fewshot_seed", flags.fewshot_seed},
                                           {"bootstrap_iters", flags.bootstrap_iterations}};
  std::vector<EvaluatedTask> evaluated;
  for (const Task& task : tasks) {
    RADLADS_ASSIGN_OR_RETURN(TaskResult result, EvaluateTask(task, *scorer, *tokenizer, *journal, options));
    evaluated.push_back({&task, std::move(result)});
    RADLADS_RETURN_IF_ERROR(WriteResults(flags.output, evaluated, flags.model, settings));
  }
  std::fputs(ResultsTable(evaluated).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace radlads
