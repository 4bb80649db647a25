// Evaluates models in process: //eval:run VERB --help.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "eval/compare.h"
#include "eval/needle_verb.h"
#include "eval/page.h"
#include "eval/perplexity.h"
#include "eval/tasks_verb.h"
#include "model/precision.h"

namespace radlads {
namespace {

struct PerplexityFlags {
  PerplexityOptions options;
  std::vector<std::string> models;
  std::string teacher, dtype = "auto", json, html;
  int threads = 0;
};

absl::Status Perplexity(PerplexityFlags flags) {
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  if (!flags.teacher.empty()) flags.options.models.push_back({"teacher", flags.teacher});
  for (const std::string& model : flags.models) {
    const bool student = !flags.teacher.empty() && flags.models.size() == 1;
    flags.options.models.push_back({student ? "student" : ModelName(model), model});
  }
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  flags.options.dtype = precision.dtype;
  Log().info("computing in {}: {}", precision.dtype == at::kBFloat16 ? "bf16" : "fp32", precision.reason);
  RADLADS_ASSIGN_OR_RETURN(const PerplexityReport report, MeasurePerplexity(flags.options));
  if (!flags.html.empty()) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(flags.html, report.Html()));
  if (flags.json == "-") {
    std::fputs(report.Json().c_str(), stdout);
    return absl::OkStatus();
  }
  std::fputs(report.Table().c_str(), stdout);
  return flags.json.empty() ? absl::OkStatus() : WriteFileAtomically(flags.json, report.Json());
}

struct CompareFlags {
  std::string teacher, json, html;
  std::vector<std::string> students;
};

absl::Status Compare(const CompareFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const Comparison comparison, CompareResults(flags.teacher, flags.students));
  if (!flags.json.empty()) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(flags.json, comparison.Json()));
  if (!flags.html.empty()) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(flags.html, comparison.Html()));
  std::fputs(comparison.Table().c_str(), stdout);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  absl::Status status = BeginProgram();
  if (!status.ok()) return ExitCode(status);
  CLI::App app("Evaluates models in process. Results go to standard output, progress to standard error.");
  app.require_subcommand(1);

  PerplexityFlags flags;
  CLI::App* verb = app.add_subcommand(
      "perplexity", "Scores the same tokens with each model and prints the results beside each other.");
  verb->add_option("--model", flags.models, "Hugging Face directory, GGUF file or run; repeat it to compare several.")
      ->required();
  verb->add_option("--teacher", flags.teacher,
                   "The model that the others are compared with; without it, the first --model.");
  CLI::Option* data =
      verb->add_option("--data", flags.options.data, "PREFIX of a token dataset (PREFIX.bin, PREFIX.idx).");
  CLI::Option* text =
      verb->add_option("--text", flags.options.text, "Text file instead: jsonl or txt, plain, gz, xz or zst.");
  data->excludes(text);
  verb->add_option("--ctx", flags.options.ctx, "Tokens of context; every window is scored from its second token on.")
      ->check(AtLeast(1))
      ->capture_default_str();
  verb->add_option("--tokens", flags.options.tokens, "Tokens to score; default: all.")->check(AtLeast(1));
  verb->add_option("--batch", flags.options.batch, "Windows that go through a model at once.")
      ->check(AtLeast(1))
      ->capture_default_str();
  verb->add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(OneOf({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  verb->add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(AtLeast(1));
  verb->add_option("--json", flags.json,
                   "Write the results to this file too; - prints them on standard output instead of the table.");
  verb->add_option("--html", flags.html, "Write them to this page too, with a plot; the page needs no network.");
  verb->callback([&] { status = Perplexity(flags); });

  TasksFlags tasks;
  AddTasksVerb(app, tasks, [&] { status = RunTasks(tasks); });

  NeedleFlags needle;
  AddNeedleVerb(app, needle, [&] { status = RunNeedleVerb(needle); });

  CompareFlags compare;
  verb = app.add_subcommand("compare",
                            "What students keep of their teacher, from what `tasks` or `needle` wrote for each.");
  verb->add_option("--teacher", compare.teacher, "--output of `tasks` or `needle` with the teacher.")->required();
  verb->add_option("--student", compare.students, "The same with a student; repeat it for several.")->required();
  verb->add_option("--json", compare.json, "Write the comparison to this file too.");
  verb->add_option("--html", compare.html, "Write it to this page too, with plots; the page needs no network.");
  verb->callback([&] { status = Compare(compare); });

  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
