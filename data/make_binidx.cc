// Makes token datasets from text, and looks at them. The verbs are in data/verbs.
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <stop_token>
#include <thread>

#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

constexpr int kInterrupted = 130;  // what a shell reports for a command that Ctrl-C ended

// Turns the first Ctrl-C (or SIGTERM) into a request to stop at the next safe point; the second ends the process.
// To be made before there are other threads: they inherit the blocked signals.
void StopOnSignals(std::stop_source stop) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, stop]() mutable {
    int signal = 0;
    sigwait(&signals, &signal);
    Log().info("stopping; once more to stop at once");
    stop.request_stop();
    sigwait(&signals, &signal);
    ::_exit(kInterrupted);
  }).detach();
}

int Main(int argc, char** argv) {
  if (const absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  CLI::App app{
      "Makes token datasets (PREFIX.bin and PREFIX.idx, Megatron's MMIDIDX format) from text, and looks at them.\n"
      "What is interrupted, by Ctrl-C or by a crash, is continued when the same command is run again."};
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  Run write, look;
  for (AddVerb* add : {AddBuild, AddAppend, AddMerge, AddSplit, AddFixEos}) add(app, &write);
  for (AddVerb* add : {AddImport, AddCatalog}) add(app, &look);
  for (AddVerb* add : {AddCheck, AddInfo, AddPrimes, AddSample, AddStat}) add(app, &look);
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  if (look) return ExitCode(look({}));
  std::stop_source stop;
  StopOnSignals(stop);
  const absl::Status status = write(stop.get_token());
  const int code = ExitCode(status);
  return absl::IsCancelled(status) ? kInterrupted : code;
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
