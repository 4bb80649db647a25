// Serves models over HTTP and gRPC, with sessions that are kept: //serve:server --model DIR. docs/serving.md.
#include <ATen/Parallel.h>
#include <prometheus/registry.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bound_port.h"
#include "base/file.h"
#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/parallel_for.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "model/device.h"
#include "model/layer_plan.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "serve/grpc/grpc_text_server.h"
#include "serve/http/http_text_server.h"
#include "serve/server_flags.h"
#include "serve/sessions/session_service.h"
#include "serve/warm_text.h"

namespace radlads {
namespace {

struct Model {
  std::string name, directory;
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
                                                  .work = flags.http.work,
                                                  .max_tokens = flags.http.max_tokens,
                                                  .tls_certificate = flags.http.tls_certificate,
                                                  .tls_key = flags.http.tls_key,
                                                  .keys = flags.http.keys,
                                                  .drain_time = std::chrono::seconds(flags.drain_seconds)}));
  Log().info("gRPC on {}, port {}", flags.grpc_listen, server->port());
  return server;
}

int64_t Bytes(double units, int64_t unit) {
  constexpr double kMost = int64_t{1} << 62;
  return static_cast<int64_t>(std::clamp(units * static_cast<double>(unit), 1.0, kMost));
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

absl::StatusOr<Model> Load(const std::string& argument, const Precision& precision, at::Device device) {
  Model model;
  std::string path;
  std::tie(model.name, path) = NameAndPath(argument);
  RADLADS_ASSIGN_OR_RETURN(model.directory, ResolveModelDirectory(path));
  if (!IsDirectory(model.directory)) {
    return InvalidArgument(
        path,
        " is a file; the server wants a directory with the tokenizer beside the weights. Make one with "
        "bazel run //tools:import_checkpoint -- --from ",
        path, " --to DIRECTORY --dtype keep");
  }
  RADLADS_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::Load(model.directory));
  RADLADS_ASSIGN_OR_RETURN(model.transformer, LoadForInference(model.directory, precision.dtype, device));
  Log().info("model {} from {} in {} on {}", model.name, model.directory,
             precision.dtype == at::kBFloat16 ? "bf16" : "fp32", device.str());
  return model;
}

absl::Status OpenSessions(const ServerFlags& flags, prometheus::Registry& metrics, Model& model) {
  SessionServiceOptions options = flags.service;
  options.model = model.name;
  options.directory = JoinPath(flags.store, FolderName(model.name));
  RADLADS_RETURN_IF_ERROR(MakeDirectories(options.directory));
  if (options.context == 0) {
    RADLADS_ASSIGN_OR_RETURN(options.context, Context(*model.transformer));
  }
  RADLADS_ASSIGN_OR_RETURN(model.service,
                           SessionService::Create(*model.transformer, model.tokenizer, options, metrics));
  Log().info("model {}: {}, {} sessions in {}", model.name,
             options.context > 0 ? Concatenate("context of ", options.context, " tokens") : "no limit to the context",
             model.service->ListSessions("", INT64_MAX)->size(), options.directory);
  return absl::OkStatus();
}

// What the first requests would wait for.
absl::Status Warm(std::span<const WarmText> texts, const Model& model, std::stop_token stop) {
  const auto begun = std::chrono::steady_clock::now();
  RADLADS_ASSIGN_OR_RETURN(const auto prefixes, PromptPrefixes(texts, model.name, *model.tokenizer));
  size_t tokens = 0;
  for (const auto& prefix : prefixes) tokens += prefix.size();
  if (tokens > 0) Log().info("model {}: reads {} warm texts of {} tokens", model.name, prefixes.size(), tokens);
  const absl::Status warm = model.service->Warm(prefixes, stop);
  if (!warm.ok()) return Annotate(warm, Concatenate("--warm of model ", model.name));
  Log().info("model {}: warm after {:.1f} s", model.name,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  return absl::OkStatus();
}

// SIGTERM and SIGINT as a request to stop. To be made before there are other threads: they inherit the blocked signals.
class StopSignal {
 public:
  StopSignal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    waiting_ = std::thread([this, signals] {
      int signal = 0;
      sigwait(&signals, &signal);
      stop_.request_stop();
    });
  }
  ~StopSignal() {
    Stop();
    Wait();
  }

  std::stop_token token() const { return stop_.get_token(); }
  // From any thread: as if the signal came.
  void Stop() const {
    if (!stop_.stop_requested()) kill(getpid(), SIGTERM);
  }
  void Wait() {
    if (waiting_.joinable()) waiting_.join();
  }

 private:
  std::stop_source stop_;
  std::thread waiting_;
};

absl::Status Serve(ServerFlags flags) {
  StopSignal signal;
  RADLADS_RETURN_IF_ERROR(SetAccess(&flags));
  // Before the models, which take their time, and before anything is made on disk.
  RADLADS_ASSIGN_OR_RETURN(BoundPort port, BoundPort::Take({.host = flags.http.host, .port = flags.http.port}));
  std::optional<BoundPort> grpc_port;
  if (!flags.grpc_listen.empty()) {
    RADLADS_ASSIGN_OR_RETURN(grpc_port, TakeGrpcPort("--grpc_listen", flags.grpc_listen));
  }
  flags.http.drain_time = std::chrono::seconds(flags.drain_seconds);
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  if (flags.cache_mib > 0) flags.service.cache_bytes = Bytes(flags.cache_mib, 1 << 20);
  flags.service.store.bytes = Bytes(flags.store_gib, 1 << 30);
  flags.service.store.session_bytes = Bytes(flags.session_mib, 1 << 20);

  prometheus::Registry metrics;
  std::vector<std::string> names;
  for (const std::string& argument : flags.models) {
    names.push_back(NameAndPath(argument).first);
    if (std::count(names.begin(), names.end(), names.back()) > 1) {
      return InvalidArgument("two models are called ", names.back(),
                             "; give them names of their own: --model NAME=", NameAndPath(argument).second);
    }
  }
  RADLADS_ASSIGN_OR_RETURN(const std::vector<WarmText> warm_texts, ReadWarmTexts(flags.warm, names));
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  RADLADS_ASSIGN_OR_RETURN(const at::Device device, ChooseDevice(flags.device));
  std::vector<Model> opened;
  for (const std::string& argument : flags.models) {
    if (signal.token().stop_requested()) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(opened.emplace_back(), Load(argument, precision, device));
  }
  const int64_t memory = MemoryLimit(), weights = MemoryInUse();
  Log().info("{} threads; {} of memory, of which {} are in use", Threads(), SpellBytes(memory), SpellBytes(weights));
  flags.service.memory = std::max<int64_t>(1, (memory - weights) / static_cast<int64_t>(opened.size()));
  if (!device.is_cpu()) {
    const int64_t free = FreeMemory(device);
    Log().info("{}: {} of its memory are free", device.str(), SpellBytes(free));
    flags.service.device_memory = free / static_cast<int64_t>(opened.size());
  }
  std::vector<ServedModel> served_models;
  for (Model& model : opened) {
    RADLADS_RETURN_IF_ERROR(OpenSessions(flags, metrics, model));
    served_models.push_back({.name = model.name, .service = model.service.get(), .tokenizer = model.tokenizer});
  }
  flags.http.starting = true;
  RequestWork work;
  flags.http.work = &work;
  HttpTextServer server(served_models, metrics, flags.http);
  RADLADS_RETURN_IF_ERROR(server.Bind(std::move(port)));
  absl::Status served;
  std::thread serving([&] {
    served = server.Serve();
    if (!served.ok()) signal.Stop();
  });
  std::unique_ptr<GrpcTextServer> grpc_server;
  const absl::Status ready = [&]() -> absl::Status {
    for (const Model& model : opened) RADLADS_RETURN_IF_ERROR(Warm(warm_texts, model, signal.token()));
    RADLADS_ASSIGN_OR_RETURN(grpc_server, StartGrpc(flags, served_models, metrics));
    return absl::OkStatus();
  }();
  if (!ready.ok()) {
    server.Shutdown();
    serving.join();
    if (!signal.token().stop_requested() || !absl::IsCancelled(ready)) return ready;
    Log().info("stopped before all texts of --warm were read");
    return served;
  }
  server.Ready();
  Log().info("serving on {}://{}:{}/, {}", flags.http.tls_key.empty() ? "http" : "https", flags.http.host,
             server.port(),
             flags.http.keys.empty() ? "without keys" : Concatenate(flags.http.keys.size(), " API keys"));
  signal.Wait();
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
  absl::Status status = BeginProgram();
  if (!status.ok()) return ExitCode(status);
  CLI::App app(
      "Serves models over HTTP: OpenAI's API, sessions that are kept, and a page; and over gRPC. SIGTERM ends texts "
      "under way properly and exits.");
  ServerFlags flags;
  AddServerFlags(app, &flags);
  app.callback([&] { status = Serve(flags); });
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
