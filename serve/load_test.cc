// Drives a server with many texts at once: //serve:load_test. docs/serving.md, "Load".
#include "serve/load/load.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"

namespace radlads {
namespace {

absl::Status Run(const LoadOptions& options, const std::string& json) {
  RADLADS_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(options));
  std::fputs(result.Table().c_str(), stdout);
  if (!json.empty()) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(json, result.Json()));
  if (result.errors.empty()) return absl::OkStatus();
  return absl::UnavailableError("not every request was answered; the table says why");
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  using namespace radlads;
  if (const absl::Status entered = BeginProgram(); !entered.ok()) return ExitCode(entered);
  CLI::App app("Load for a server of texts, and how long they take");
  LoadOptions options;
  std::string json;
  bool whole = false;
  app.add_option("--url", options.url, "Where the server is.")->capture_default_str();
  app.add_option("--key", options.key, "API key.");
  app.add_option("--model", options.model, "Name of the model; default: the only one.");
  app.add_option("--concurrency", options.concurrency, "Clients that ask at once.")->capture_default_str();
  app.add_option("--rate", options.rate,
                 "Open loop: requests a second at random times; 0: each client asks again at once.")
      ->capture_default_str();
  app.add_option("--requests", options.requests, "How many in all.")->capture_default_str();
  app.add_option("--seconds", options.seconds, "Instead of a number: for so long.");
  app.add_option("--prompt_words", options.prompt_words, "Words of a prompt, drawn anew each time.")
      ->capture_default_str();
  app.add_option("--shared_words", options.shared_words, "Of these, the first ones are the same in all requests.")
      ->capture_default_str();
  app.add_option("--max_tokens", options.max_tokens, "Tokens of a reply.")->capture_default_str();
  app.add_option("--sessions", options.sessions, "Sessions that are open, and gone on from in turn; 0: none.")
      ->capture_default_str();
  app.add_flag("--whole", whole, "Replies come whole instead of streamed.");
  app.add_option("--seed", options.seed, "Of words and times.")->capture_default_str();
  app.add_option("--json", json, "A file for the figures.");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  options.stream = !whole;
  return ExitCode(Run(options, json));
}
