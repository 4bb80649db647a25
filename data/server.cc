// Serves the datasets of a catalog to trainers on other machines; see docs/formats/index_service.md.
#include "base/program_flags.h"
#include "data/index_service/server.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "base/logging.h"
#include "base/program.h"
#include "base/status.h"
#include "data/index_service/key_file.h"

namespace radlads {
namespace {

absl::Status Serve(IndexServerOptions options, const std::string& key_file, const sigset_t& signals) {
  if (!key_file.empty()) {
    RADLADS_ASSIGN_OR_RETURN(options.api_key, ReadKeyFile(key_file));
  }
  RADLADS_ASSIGN_OR_RETURN(const auto server, IndexServer::Start(options));
  Log().info("index service: {} on {} (port {}){}", options.catalog, options.listen, server->port(),
             options.api_key.empty() ? ", without a key" : ", key required");
  if (server->metrics_port() > 0) Log().info("metrics: port {}, /metrics", server->metrics_port());
  int signal = 0;
  sigwait(&signals, &signal);
  Log().info("{}: waiting for streams to end", signal == SIGINT ? "SIGINT" : "SIGTERM");
  server->Drain();
  Log().info("done");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  // Before any thread is made, so that all of them leave these to sigwait.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  CLI::App app{"Serves the datasets of a catalog over gRPC: train.data_file grpc://HOST:PORT/NAME reads them."};
  IndexServerOptions options;
  std::string key_file;
  app.add_option("--catalog", options.catalog, "Directory of the catalog (make_binidx import makes one).")->required();
  app.add_option("--listen", options.listen, "HOST:PORT; 0.0.0.0:PORT for all addresses. Port 0 takes a free one.")
      ->capture_default_str();
  app.add_option("--key_file", key_file,
                 "File whose first line is the key that clients must give (train.data_key_file); required unless only "
                 "this machine can connect.");
  app.add_option("--metrics_listen", options.metrics_listen, "HOST:PORT of http://HOST:PORT/metrics for Prometheus.");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(Serve(std::move(options), key_file, signals));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
