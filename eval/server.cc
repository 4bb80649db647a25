// Serves a model to lm_eval over HTTP: //eval:server --model DIR.
#include <ATen/Parallel.h>
#include <pthread.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/status.h"
#include "base/working_directory.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/completion_queue.h"
#include "eval/http_server.h"
#include "eval/scorer.h"
#include "model/precision.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

struct Flags {
  std::string model, tokenizer, dtype = "fp32";
  HttpServerOptions http;
  ScorerOptions scorer;
  int threads = 0;
};

absl::Status Serve(Flags flags) {
  // Every thread inherits the mask: the signals come to sigwait below, and to nobody else.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(flags.model));
  RADLADS_ASSIGN_OR_RETURN(const auto tokenizer,
                           Tokenizer::Load(flags.tokenizer.empty() ? directory : flags.tokenizer));
  RADLADS_ASSIGN_OR_RETURN(const auto model, LoadForInference(flags.model, precision.dtype));
  RADLADS_ASSIGN_OR_RETURN(const auto scorer, MakeScorer(*model, *tokenizer, flags.scorer));
  const auto queue = MakeCompletionQueue(*model, tokenizer, flags.scorer.batch_tokens, scorer->max_length());
  if (flags.http.model_name.empty()) flags.http.model_name = flags.model;

  HttpServer server(*queue, tokenizer, flags.http);
  RADLADS_RETURN_IF_ERROR(server.Bind());
  absl::Status served;
  std::thread serving([&] {
    served = server.Serve();
    if (!served.ok()) kill(getpid(), SIGTERM);
  });
  Log().info("serving {} on http://{}:{}, context {} tokens, {}", flags.http.model_name, flags.http.host, server.port(),
             queue->max_length(), precision.dtype == at::kBFloat16 ? "bf16" : "fp32");
  int signal = 0;
  sigwait(&signals, &signal);
  Log().info("no new requests; finishing those under way");
  server.Shutdown();
  serving.join();
  return served;
}

int Main(int argc, char** argv) {
  absl::Status status = EnterWorkingDirectory();
  if (!status.ok()) return ExitCode(status);
  CLI::App app(
      "Serves a model to lm_eval (local-completions, gguf) over HTTP. SIGTERM answers what is under way and exits.");
  Flags flags;
  app.add_option("--model", flags.model, "Hugging Face directory, GGUF file or run.")->required();
  app.add_option("--tokenizer", flags.tokenizer, "Directory with tokenizer.json; default: that of the model.");
  app.add_option("--model_name", flags.http.model_name, "What replies call the model; default: its path.");
  app.add_option("--host", flags.http.host, "Address to listen on.")->capture_default_str();
  app.add_option("--port", flags.http.port, "Port to listen on; 0: any that is free.")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--connections", flags.http.connections, "Connections served at once.")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--batch_tokens", flags.scorer.batch_tokens, "Tokens that go through the model at once.")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max_length", flags.scorer.max_length, "Tokens of context; default: what the model's config says.")
      ->check(CLI::PositiveNumber);
  app.add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(CLI::PositiveNumber);
  app.callback([&] { status = Serve(flags); });
  CLI11_PARSE(app, argc, argv);
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
