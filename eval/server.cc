// Serves a model to lm_eval over HTTP, and to others over gRPC: //eval:server --model DIR.
#include "eval/service/server.h"

#include <prometheus/registry.h>
#include <pthread.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/bound_port.h"
#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "eval/completion_model.h"
#include "eval/http_server.h"
#include "eval/model_queue.h"
#include "eval/opened_model.h"

namespace radlads {
namespace {

struct Flags {
  ModelFlags model;
  std::string tokenizer, grpc_listen;
  HttpServerOptions http;
  int64_t max_length = 0;
};

absl::Status Serve(Flags flags) {
  // Every thread inherits the mask: the signals come to sigwait below, and to nobody else.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  // Before the model, which takes its time.
  RADLADS_ASSIGN_OR_RETURN(BoundPort port, BoundPort::Take({.host = flags.http.host, .port = flags.http.port}));
  std::optional<BoundPort> grpc_port;
  if (!flags.grpc_listen.empty()) {
    RADLADS_ASSIGN_OR_RETURN(grpc_port, TakeGrpcPort("--grpc_listen", flags.grpc_listen));
  }
  RADLADS_ASSIGN_OR_RETURN(const OpenedModel opened, OpenModel(flags.model, flags.tokenizer));
  prometheus::Registry metrics;
  RADLADS_ASSIGN_OR_RETURN(
      const auto queue,
      ModelQueue::Create(*opened.model, {.batch_tokens = flags.model.batch_tokens, .max_length = flags.max_length},
                         metrics));
  const auto completions = MakeCompletionModel(*queue, opened.tokenizer);
  if (flags.http.model_name.empty()) flags.http.model_name = flags.model.model;

  HttpServer server(*completions, opened.tokenizer, metrics, flags.http);
  RADLADS_RETURN_IF_ERROR(server.Bind(std::move(port)));
  std::unique_ptr<EvalServer> grpc_server;
  if (!flags.grpc_listen.empty()) {
    RADLADS_ASSIGN_OR_RETURN(grpc_server,
                             EvalServer::Start(*queue, opened.tokenizer, metrics,
                                               {.listen = flags.grpc_listen, .model_name = flags.http.model_name}));
    Log().info("gRPC on {} (port {})", flags.grpc_listen, grpc_server->port());
  }
  absl::Status served;
  std::thread serving([&] {
    served = server.Serve();
    if (!served.ok()) kill(getpid(), SIGTERM);
  });
  Log().info("serving {} on http://{}:{}, context {} tokens, {}", flags.http.model_name, flags.http.host, server.port(),
             queue->max_length(), opened.dtype);
  int signal = 0;
  sigwait(&signals, &signal);
  Log().info("no new requests; finishing those under way");
  server.Shutdown();
  if (grpc_server != nullptr) grpc_server->Drain();
  serving.join();
  return served;
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  absl::Status status = BeginProgram();
  if (!status.ok()) return ExitCode(status);
  CLI::App app(
      "Serves a model to lm_eval (local-completions, local-chat-completions, gguf) over HTTP, and over gRPC. SIGTERM "
      "answers what is under way and exits.");
  Flags flags;
  AddModelFlags(app, flags.model);
  app.add_option("--tokenizer", flags.tokenizer, "Directory with tokenizer.json; default: that of the model.");
  app.add_option("--model_name", flags.http.model_name, "What replies call the model; default: its path.");
  app.add_option("--host", flags.http.host, "Address to listen on.")->capture_default_str();
  app.add_option("--port", flags.http.port, "Port to listen on; 0: any that is free.")
      ->check(InRange(0, 65535))
      ->capture_default_str();
  app.add_option("--grpc_listen", flags.grpc_listen,
                 "HOST:PORT of the gRPC service; port 0: any that is free. Default: none.");
  app.add_option("--connections", flags.http.connections, "Connections served at once.")
      ->check(InRange(1, 4096))
      ->capture_default_str();
  app.add_option("--max_length", flags.max_length, "Tokens of context; default: what the model's config says.")
      ->check(AtLeast(1));
  app.callback([&] { status = Serve(flags); });
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
