// Serves models over HTTP, with sessions that are kept: //serve:server --model DIR. docs/serving.md.
#include <ATen/Parallel.h>
#include <prometheus/registry.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/parallel_for.h"
#include "base/status.h"
#include "base/working_directory.h"
#include "model/layer_plan.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "serve/http/access.h"
#include "serve/http/http_text_server.h"
#include "serve/sessions/session_service.h"
#include "serve/warm_text.h"

namespace radlads {
namespace {

struct Flags {
  std::vector<std::string> models, warm;
  std::string dtype = "fp32", listen = "127.0.0.1:8080", store = "out/sessions", key_file;
  bool no_keys = false;
  int threads = 0;
  int64_t cache_mib = 0, store_gib = 64, session_mib = 256, drain_seconds = 30;
  SessionServiceOptions service;
  HttpTextServerOptions http;
};

struct Model {
  std::string name, directory;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<Transformer> transformer;
  std::unique_ptr<SessionService> service;
};

// "host:port", "[::1]:port".
absl::Status SetAddress(const std::string& listen, HttpTextServerOptions* options) {
  const size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options->port);
  if (error != std::errc() || end != port.data() + port.size() || options->port < 0 || options->port > 65535) {
    return InvalidArgument("--listen must be HOST:PORT, port 0 for any that is free, found ", listen);
  }
  options->host = listen.substr(0, colon);
  if (options->host.starts_with('[')) options->host = options->host.substr(1, options->host.size() - 2);
  return absl::OkStatus();
}

absl::Status SetKeys(const Flags& flags, HttpTextServerOptions* options) {
  if (!flags.key_file.empty()) {
    RADLADS_ASSIGN_OR_RETURN(options->keys, ReadKeys(flags.key_file));
  }
  const bool local = options->host == "localhost" || options->host == "::1" || options->host.starts_with("127.");
  if (local || flags.no_keys || !options->keys.empty()) return absl::OkStatus();
  return FailedPrecondition("everybody who reaches ", options->host,
                            " could ask this server; give it --key_file, or --no_keys if that is meant");
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

absl::StatusOr<Model> Load(const std::string& argument, const Precision& precision) {
  Model model;
  std::string path;
  std::tie(model.name, path) = NameAndPath(argument);
  RADLADS_ASSIGN_OR_RETURN(model.directory, ResolveModelDirectory(path));
  RADLADS_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::Load(model.directory));
  RADLADS_ASSIGN_OR_RETURN(model.transformer, LoadForInference(model.directory, precision.dtype));
  Log().info("model {} from {} in {}", model.name, model.directory, precision.dtype == at::kBFloat16 ? "bf16" : "fp32");
  return model;
}

absl::Status OpenSessions(const Flags& flags, prometheus::Registry& metrics, Model& model) {
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
absl::Status Warm(std::span<const WarmText> texts, const Model& model) {
  const auto begun = std::chrono::steady_clock::now();
  RADLADS_ASSIGN_OR_RETURN(const auto prefixes, PromptPrefixes(texts, model.name, *model.tokenizer));
  const absl::Status warm = model.service->Warm(prefixes);
  if (!warm.ok()) return Annotate(warm, Concatenate("--warm of model ", model.name));
  size_t tokens = 0;
  for (const auto& prefix : prefixes) tokens += prefix.size();
  Log().info("model {}: warm after {:.1f} s, with {} texts of {} tokens", model.name,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), prefixes.size(), tokens);
  return absl::OkStatus();
}

absl::Status Serve(Flags flags) {
  // Every thread inherits the mask: the signals come to sigwait below, and to nobody else.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  RADLADS_RETURN_IF_ERROR(SetAddress(flags.listen, &flags.http));
  RADLADS_RETURN_IF_ERROR(SetKeys(flags, &flags.http));
  flags.http.drain_time = std::chrono::seconds(flags.drain_seconds);
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  if (flags.cache_mib > 0) flags.service.cache_bytes = flags.cache_mib << 20;
  flags.service.store.bytes = flags.store_gib << 30;
  flags.service.store.session_bytes = flags.session_mib << 20;

  prometheus::Registry metrics;
  std::vector<std::string> names;
  for (const std::string& argument : flags.models) {
    names.push_back(NameAndPath(argument).first);
    if (std::count(names.begin(), names.end(), names.back()) > 1) {
      return InvalidArgument("two models are called ", names.back(), "; give --model NAME=", argument);
    }
  }
  RADLADS_ASSIGN_OR_RETURN(const std::vector<WarmText> warm_texts, ReadWarmTexts(flags.warm, names));
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  std::vector<Model> opened;
  for (const std::string& argument : flags.models) {
    RADLADS_ASSIGN_OR_RETURN(opened.emplace_back(), Load(argument, precision));
  }
  const int64_t memory = MemoryLimit(), weights = MemoryInUse();
  Log().info("{} threads; {} of memory, of which {} are in use", Threads(), SpellBytes(memory), SpellBytes(weights));
  flags.service.memory = std::max<int64_t>(1, (memory - weights) / static_cast<int64_t>(opened.size()));
  std::vector<ServedModel> served_models;
  for (Model& model : opened) {
    RADLADS_RETURN_IF_ERROR(OpenSessions(flags, metrics, model));
    served_models.push_back({.name = model.name, .service = model.service.get(), .tokenizer = model.tokenizer});
  }
  flags.http.starting = true;
  HttpTextServer server(std::move(served_models), metrics, flags.http);
  RADLADS_RETURN_IF_ERROR(server.Bind());
  absl::Status served;
  std::thread serving([&] {
    served = server.Serve();
    if (!served.ok()) kill(getpid(), SIGTERM);
  });
  absl::Status warm;
  for (const Model& model : opened) {
    if (warm.ok()) warm = Warm(warm_texts, model);
  }
  if (!warm.ok()) {
    server.Shutdown();
    serving.join();
    return warm;
  }
  server.Ready();
  Log().info("serving on {}://{}:{}/, {}", flags.http.tls_key.empty() ? "http" : "https", flags.http.host,
             server.port(),
             flags.http.keys.empty() ? "without keys" : Concatenate(flags.http.keys.size(), " API keys"));
  int signal = 0;
  sigwait(&signals, &signal);
  Log().info("no new requests; texts under way have {} s to end", flags.drain_seconds);
  server.Shutdown();
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
      "Serves models over HTTP: OpenAI's API, sessions that are kept, and a page. SIGTERM ends texts under way "
      "properly "
      "and exits.");
  Flags flags;
  flags.service.engine.active = flags.service.engine.waiting = flags.service.cache_bytes = kFromMemory;
  const auto positive = CLI::PositiveNumber;
  app.add_option("--model", flags.models, "Hugging Face directory, GGUF file or run, or NAME=PATH; repeatable.")
      ->required();
  app.add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(positive);
  app.add_option("--listen", flags.listen, "HOST:PORT; port 0: any that is free.")->capture_default_str();
  app.add_option("--store", flags.store, "Directory of the sessions.")->capture_default_str();
  app.add_option("--store_gib", flags.store_gib, "That all sessions of a model may take on disk.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--session_mib", flags.session_mib, "That the snapshots of one session may take.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--sessions", flags.service.store.sessions, "Sessions of a model.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--ttl_seconds", flags.service.store.ttl_seconds,
                 "After which a session that is not used is forgotten; 0: never.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--cache_mib", flags.cache_mib,
                 "Of states in memory, for prompts that begin alike; default: an eighth of the memory that is free.")
      ->check(positive);
  app.add_option("--snapshot_tokens", flags.service.snapshot_tokens,
                 "Of a reply, after which its state is stored on the way.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--context", flags.service.context,
                 "Tokens that a text may have; default: no limit, or that of the config for softmax layers.")
      ->check(positive);
  app.add_option("--active", flags.service.engine.active,
                 "Texts of a model that go on at once; default: as many as have room, at most 64.")
      ->check(positive);
  app.add_option("--waiting", flags.service.engine.waiting,
                 "Texts that may wait, more are told to come back; default: 16 for each that goes on.")
      ->check(positive);
  app.add_option(
      "--warm", flags.warm,
      "FILE, or NAME=FILE for one of the models: a system message, or beginning of plain prompts where there "
      "is no chat template, whose state is computed before the server is ready and kept; repeatable.");
  app.add_option("--max_tokens", flags.http.max_tokens, "Of a reply whose request does not say.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--key_file", flags.key_file, "API keys, one on each line; chmod 600.");
  app.add_flag("--no_keys", flags.no_keys, "Everybody may ask, on an address that others reach.");
  app.add_option("--tls_cert", flags.http.tls_certificate, "PEM file: the certificate and its chain.");
  app.add_option("--tls_key", flags.http.tls_key, "PEM file: its key.");
  app.get_option("--tls_cert")->needs("--tls_key");
  app.get_option("--tls_key")->needs("--tls_cert");
  app.add_option("--cors_origin", flags.http.cors_origins,
                 "Whose pages may ask, as https://chat.example.org; repeatable.");
  app.add_option("--max_body_bytes", flags.http.max_body, "Of a request.")->check(positive)->capture_default_str();
  app.add_option("--connections", flags.http.connections, "Open at once.")->check(positive)->capture_default_str();
  app.add_option("--requests", flags.http.requests, "Worked on at once, streams among them.")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  app.add_option("--drain_seconds", flags.drain_seconds, "That texts have to end by themselves after SIGTERM.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.callback([&] { status = Serve(flags); });
  CLI11_PARSE(app, argc, argv);
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
