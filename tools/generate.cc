// Text from a model, as it comes: a continuation, an answer, a conversation, or answers to a file of prompts.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "tools/conversation.h"

namespace radlads {
namespace {

constexpr char kDescription[] =
    "Text from a model, as it comes. One of\n"
    "  --prompt TEXT     the continuation of a text\n"
    "  --chat TEXT       the answer to a message, by the model's chat template\n"
    "  --prompts FILE    answers to a file with a message on each line\n"
    "  none of them      a conversation: a message on each line of standard input\n"
    "Text goes to standard output, everything else to standard error.";

struct Flags {
  std::string model, teacher, prompt, chat, system, prompts, json, dtype = "auto";
  GenerateOptions options;
  bool stats = false, raw = false;
  int threads = 0;
};

struct Loaded {
  std::shared_ptr<Transformer> model;
  std::shared_ptr<const Tokenizer> tokenizer;
};

absl::StatusOr<Loaded> Load(const std::string& path, at::ScalarType dtype) {
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(path));
  if (!IsDirectory(directory)) {
    return InvalidArgument(
        path, " is a file without tokenizer.json; make a directory of it with //tools:import_checkpoint --from ", path,
        " --to DIRECTORY");
  }
  Loaded loaded;
  RADLADS_ASSIGN_OR_RETURN(loaded.tokenizer, Tokenizer::Load(directory));
  RADLADS_ASSIGN_OR_RETURN(loaded.model, LoadForInference(directory, dtype));
  return loaded;
}

double Mean(std::vector<double>::const_iterator begin, std::vector<double>::const_iterator end) {
  return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
}

void PrintStats(const Answer& answer) {
  const GenerateResult& result = answer.result;
  const std::vector<double>& seconds = result.token_seconds;
  std::fprintf(stderr, "prompt: %lld tokens in %s, %s/s\n", static_cast<long long>(answer.prompt_tokens),
               HumanDuration(result.prompt_seconds).c_str(),
               HumanCount(answer.prompt_tokens / result.prompt_seconds, "tokens").c_str());
  if (!seconds.empty()) {
    const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    const size_t tenth = std::max<size_t>(1, seconds.size() / 10);
    std::fprintf(stderr, "generated: %zu tokens, %s/s; %.2f ms a token over the first tenth, %.2f ms over the last\n",
                 result.tokens.size(), HumanCount(seconds.size() / total, "tokens").c_str(),
                 1e3 * Mean(seconds.begin(), seconds.begin() + tenth),
                 1e3 * Mean(seconds.end() - tenth, seconds.end()));
  }
  std::fprintf(stderr, "state: %s\n", HumanCount(result.state_bytes, "B").c_str());
}

absl::Status PrintPiece(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return FlushStandardOutput();
}

// One turn: `text` is a message, or with `raw` a text to continue.
absl::StatusOr<Answer> Turn(Conversation& conversation, const std::string& text, bool raw, bool stats) {
  auto answer = raw ? conversation.Continue(text, PrintPiece) : conversation.Say(text, PrintPiece);
  if (!answer.ok()) return answer;
  RADLADS_RETURN_IF_ERROR(PrintPiece("\n"));
  if (stats) PrintStats(*answer);
  return answer;
}

Conversation NewConversation(const Flags& flags, const Loaded& loaded) {
  Conversation conversation(*loaded.model, loaded.tokenizer, flags.options);
  if (!flags.system.empty()) conversation.SetSystem(flags.system);
  return conversation;
}

// Answers of one model to all prompts, under `key` of each entry of `json`.
absl::Status AnswerAll(const Flags& flags, const std::string& path, at::ScalarType dtype,
                       const std::vector<std::string>& prompts, const std::string& key, nlohmann::ordered_json& json) {
  RADLADS_ASSIGN_OR_RETURN(const Loaded loaded, Load(path, dtype));
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::printf("%s, to \"%s\":\n", key.c_str(), prompts[i].c_str());
    Conversation conversation = NewConversation(flags, loaded);
    RADLADS_ASSIGN_OR_RETURN(const Answer answer, Turn(conversation, prompts[i], flags.raw, flags.stats));
    std::printf("\n");
    json[i]["prompt"] = prompts[i];
    json[i][key] = answer.text;
  }
  return absl::OkStatus();
}

absl::Status AnswerFile(const Flags& flags, at::ScalarType dtype) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.prompts));
  std::istringstream lines(text);
  std::vector<std::string> prompts;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) prompts.push_back(line);
  }
  if (prompts.empty()) return InvalidArgument(flags.prompts, " has no line with a prompt");
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (size_t i = 0; i < prompts.size(); ++i) json.push_back(nlohmann::ordered_json::object());
  if (!flags.teacher.empty()) RADLADS_RETURN_IF_ERROR(AnswerAll(flags, flags.teacher, dtype, prompts, "teacher", json));
  RADLADS_RETURN_IF_ERROR(AnswerAll(flags, flags.model, dtype, prompts, "student", json));
  if (flags.json.empty()) return absl::OkStatus();
  return WriteFileAtomically(flags.json, json.dump(2) + "\n");
}

absl::Status Run(const Flags& flags) {
  RADLADS_RETURN_IF_ERROR(flags.options.sampling.Check(/*vocabulary=*/0));
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  if (flags.stats)
    Log().info("computing in {}: {}", precision.dtype == at::kBFloat16 ? "bf16" : "fp32", precision.reason);
  if (!flags.prompts.empty()) return AnswerFile(flags, precision.dtype);

  RADLADS_ASSIGN_OR_RETURN(const Loaded loaded, Load(flags.model, precision.dtype));
  Conversation conversation = NewConversation(flags, loaded);
  if (!flags.prompt.empty()) {
    RADLADS_RETURN_IF_ERROR(PrintPiece(flags.prompt));
    return Turn(conversation, flags.prompt, /*raw=*/true, flags.stats).status();
  }
  if (!flags.chat.empty()) return Turn(conversation, flags.chat, /*raw=*/false, flags.stats).status();
  std::fprintf(stderr, "A line is a message; end with Ctrl-D.\n> ");
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) RADLADS_RETURN_IF_ERROR(Turn(conversation, line, flags.raw, flags.stats).status());
    std::fprintf(stderr, "> ");
  }
  std::fprintf(stderr, "\n");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  Flags flags;
  CLI::App app(kDescription, "generate");
  app.add_option("--model", flags.model, "Hugging Face directory or run")->required();
  CLI::Option* prompt = app.add_option("--prompt", flags.prompt, "text to continue");
  CLI::Option* chat = app.add_option("--chat", flags.chat, "message to answer")->excludes(prompt);
  CLI::Option* prompts = app.add_option("--prompts", flags.prompts, "file with a message to answer on each line")
                             ->excludes(prompt)
                             ->excludes(chat);
  app.add_option("--system", flags.system, "system message, before the first message")->excludes(prompt);
  app.add_flag("--raw", flags.raw, "without chat template: continue the lines of --prompts or standard input");
  app.add_option("--teacher", flags.teacher, "answer --prompts with this model too, before --model")->needs(prompts);
  app.add_option("--json", flags.json, "write prompts and answers to this file: what report.html shows as samples.json")
      ->needs(prompts);
  app.add_option("--max_tokens", flags.options.max_tokens, "most tokens of an answer")
      ->check(AtLeast(1))
      ->capture_default_str();
  SamplingOptions& sampling = flags.options.sampling;
  app.add_option("--temperature", sampling.temperature, "0: always the likeliest token")->capture_default_str();
  app.add_option("--top_k", sampling.top_k, "only the k likeliest tokens; 0: all")->capture_default_str();
  app.add_option("--top_p", sampling.top_p, "only the likeliest tokens with together this probability")
      ->capture_default_str();
  app.add_option("--min_p", sampling.min_p, "only tokens at least so likely as this times the likeliest")
      ->capture_default_str();
  app.add_option("--repetition_penalty", sampling.repetition_penalty,
                 "above 1: tokens that came before are less likely")
      ->capture_default_str();
  app.add_option("--seed", sampling.seed, "of the random numbers; the same seed gives the same text")
      ->capture_default_str();
  app.add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16")
      ->check(OneOf({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; default: all cores")->check(AtLeast(1));
  app.add_flag("--stats", flags.stats, "print speed and the size of the state after each answer");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(Run(flags));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
