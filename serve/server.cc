// Serves models over HTTP and gRPC, with sessions that are kept: //serve:server --model DIR. docs/serving.md.
#include <ATen/Parallel.h>
#include <prometheus/registry.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/status.h"
#include "base/working_directory.h"
#include "model/layer_plan.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "serve/grpc/grpc_text_server.h"
#include "serve/http/http_text_server.h"
#include "serve/server_flags.h"
#include "serve/sessions/session_service.h"

namespace radlads {
namespace {

struct Model {
  std::string name;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<Transformer> transformer;
  std::unique_ptr<SessionService> service;
};

absl::StatusOr<std::unique_ptr<GrpcTextServer>> StartGrpc(const ServerFlags& flags,
                                                          const std::vector<ServedModel>& models,
                                                          prometheus::Registry& metrics) {
  if (flags.grpc_listen.empty()) return nullptr;
  RADLADS_ASSIGN_OR_RETURN(auto server,
                           GrpcTextServer::Start(models, metrics,
                                                 {.listen = flags.grpc_listen,
                                                  .max_message = flags.http.max_body,
                                                  .max_tokens = flags.http.max_tokens,
                                                  .tls_certificate = flags.http.tls_certificate,
                                                  .tls_key = flags.http.tls_key,
                                                  .keys = flags.http.keys,
                                                  .drain_time = std::chrono::seconds(flags.drain_seconds)}));
  Log().info("gRPC on {}, port {}", flags.grpc_listen, server->port());
  return server;
}

// "NAME=PATH", or a path whose last part that says something is the name.
std::pair<std::string, std::string> NameAndPath(const std::string& model) {
  const size_t equals = model.find('=');
  if (equals != std::string::npos) return {model.substr(0, equals), model.substr(equals + 1)};
  std::filesystem::path path(model);
  if (path.filename().empty()) path = path.parent_path();
  const std::string last = path.filename().string();
  const bool of_run = last == "final" || last.starts_with("step-");
  return {of_run && path.has_parent_path() ? path.parent_path().filename().string() : path.stem().string(), model};
}

// A text of a recurrent model has no end; softmax models have the context of their config.
absl::StatusOr<int64_t> Context(const Transformer& model) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<LayerPlan> plan, PlanLayers(model.config()));
  const bool softmax =
      std::any_of(plan.begin(), plan.end(), [](const LayerPlan& layer) { return IsSoftmax(layer.time_mixer); });
  return softmax ? model.config().max_position_embeddings() : 0;
}

// A name as a folder.
std::string FolderName(std::string name) {
  for (char& c : name) {
    if (c == '/' || c == '.') c = '_';
  }
  return name;
}

absl::StatusOr<Model> Open(const ServerFlags& flags, const std::string& argument, prometheus::Registry& metrics) {
  Model model;
  std::string path;
  std::tie(model.name, path) = NameAndPath(argument);
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(path));
  RADLADS_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::Load(directory));
  RADLADS_ASSIGN_OR_RETURN(model.transformer, LoadForInference(directory, precision.dtype));
  SessionServiceOptions options = flags.service;
  options.model = model.name;
  options.directory = JoinPath(flags.store, FolderName(model.name));
  RADLADS_RETURN_IF_ERROR(MakeDirectories(options.directory));
  if (options.context == 0) {
    RADLADS_ASSIGN_OR_RETURN(options.context, Context(*model.transformer));
  }
  RADLADS_ASSIGN_OR_RETURN(model.service,
                           SessionService::Create(*model.transformer, model.tokenizer, options, metrics));
  Log().info("model {} from {}: {}, {}, sessions in {}", model.name, directory,
             precision.dtype == at::kBFloat16 ? "bf16" : "fp32",
             options.context > 0 ? Concatenate("context of ", options.context, " tokens") : "no limit to the context",
             options.directory);
  return model;
}

absl::Status Serve(ServerFlags flags) {
  // Every thread inherits the mask: the signals come to sigwait below, and to nobody else.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  RADLADS_RETURN_IF_ERROR(SetAccess(&flags));
  flags.http.drain_time = std::chrono::seconds(flags.drain_seconds);
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  const int64_t models = static_cast<int64_t>(flags.models.size());
  const int64_t memory = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  flags.service.cache_bytes = flags.cache_mib > 0 ? flags.cache_mib << 20 : memory / 16 / models;
  flags.service.store.bytes = flags.store_gib << 30;
  flags.service.store.session_bytes = flags.session_mib << 20;
  Log().info("{} threads; at most {} texts at once and {} waiting, {} MiB of states in memory for each model",
             Threads(), flags.service.engine.active, flags.service.engine.waiting, flags.service.cache_bytes >> 20);

  prometheus::Registry metrics;
  std::set<std::string> names;
  for (const std::string& argument : flags.models) {
    const std::string name = NameAndPath(argument).first;
    if (!names.insert(name).second) {
      return InvalidArgument("two models are called ", name, "; give --model NAME=", argument);
    }
  }
  std::vector<Model> opened;
  std::vector<ServedModel> served_models;
  for (const std::string& argument : flags.models) {
    RADLADS_ASSIGN_OR_RETURN(Model model, Open(flags, argument, metrics));
    served_models.push_back({.name = model.name, .service = model.service.get(), .tokenizer = model.tokenizer});
    opened.push_back(std::move(model));
  }
  HttpTextServer server(served_models, metrics, flags.http);
  RADLADS_RETURN_IF_ERROR(server.Bind());
  RADLADS_ASSIGN_OR_RETURN(const auto grpc_server, StartGrpc(flags, served_models, metrics));
  absl::Status served;
  std::thread serving([&] {
    served = server.Serve();
    if (!served.ok()) kill(getpid(), SIGTERM);
  });
  Log().info("serving on {}://{}:{}/, {}", flags.http.tls_key.empty() ? "http" : "https", flags.http.host,
             server.port(),
             flags.http.keys.empty() ? "without keys" : Concatenate(flags.http.keys.size(), " API keys"));
  int signal = 0;
  sigwait(&signals, &signal);
  Log().info("no new requests; texts under way have {} s to end", flags.drain_seconds);
  server.Shutdown();
  if (grpc_server != nullptr) grpc_server->Drain();
  serving.join();
  for (const Model& model : opened) model.service->Drain();
  Log().info("all sessions are stored");
  return served;
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  absl::Status status = EnterWorkingDirectory();
  if (!status.ok()) return ExitCode(status);
  CLI::App app(
      "Serves models over HTTP: OpenAI's API, sessions that are kept, and a page; and over gRPC. SIGTERM ends texts "
      "under way properly and exits.");
  ServerFlags flags;
  AddServerFlags(app, &flags);
  app.callback([&] { status = Serve(flags); });
  CLI11_PARSE(app, argc, argv);
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
