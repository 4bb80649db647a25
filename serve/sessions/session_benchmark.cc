// What sessions cost: bazel run //serve/sessions:session_benchmark -- MODEL STORE [--dtype bf16]
//
// A session of a million tokens is imported, the service is opened anew, and the time from a request to its first token
// is taken, the state read from disk, and again with the state in memory; then states are put, synced and not. The
// tokens of the long text are made up, its state is that of a short one: what is read and computed is the same.
#include <prometheus/registry.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "data/tokenizer/tokenizer.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "serve/sessions/session_blob.h"
#include "serve/sessions/session_service.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kTokens = 1'000'000;

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// From the request to its first token, and to its end.
absl::StatusOr<std::pair<double, double>> Ask(TextService& service, const TextRequest& request) {
  const auto begun = Clock::now();
  double first = 0;
  std::promise<TextResult> done;
  const auto on_piece = [&](const TextPiece&) {
    if (first == 0) first = Milliseconds(Clock::now() - begun);
    return true;
  };
  RADLADS_RETURN_IF_ERROR(
      service
          .Start(request,
                 {.on_piece = on_piece, .on_done = [&](TextResult result) { done.set_value(std::move(result)); }})
          .status());
  const TextResult result = done.get_future().get();
  RADLADS_RETURN_IF_ERROR(result.status);
  return std::pair(first, Milliseconds(Clock::now() - begun));
}

// The session `short`, exported, as one of kTokens tokens.
absl::StatusOr<std::string> MakeLong(TextService& service) {
  RADLADS_ASSIGN_OR_RETURN(const std::string bytes, service.ExportSession("short"));
  RADLADS_ASSIGN_OR_RETURN(SessionBlob blob, ParseBlob(bytes));
  blob.tokens = kTokens;
  blob.read = kTokens - 1;
  const std::vector<int64_t> begin = blob.listed;
  blob.listed.resize(kTokens);
  for (int64_t i = 0; i < kTokens; ++i) blob.listed[i] = begin[i % begin.size()];
  blob.prefix_hash = {};
  for (int64_t i = 0; i < blob.read; ++i) blob.prefix_hash = Extend(blob.prefix_hash, blob.listed[i]);
  std::string position(sizeof(int64_t), '\0');
  std::memcpy(position.data(), &blob.read, sizeof(blob.read));
  for (BlobTensor& tensor : blob.tensors) {
    if (tensor.name == "position") tensor.bytes = position;
  }
  return SerializeBlob(blob);
}

absl::Status Measure(const std::string& model_directory, const std::string& store_directory, const std::string& dtype) {
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(dtype));
  RADLADS_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(model_directory));
  RADLADS_ASSIGN_OR_RETURN(const auto model, LoadForInference(model_directory, precision.dtype));
  prometheus::Registry metrics;
  SessionServiceOptions options{.directory = store_directory, .snapshot_tokens = 1 << 30};
  RADLADS_ASSIGN_OR_RETURN(auto service, SessionService::Create(*model, tokenizer, options, metrics));
  RADLADS_RETURN_IF_ERROR(service->CreateSession("short", 0).status());
  RADLADS_RETURN_IF_ERROR(Ask(*service, {.session = "short", .prompt = {1, 2, 3}, .max_tokens = 20}).status());
  RADLADS_ASSIGN_OR_RETURN(const std::string blob, MakeLong(*service));
  RADLADS_RETURN_IF_ERROR(service->ImportSession(blob, "long").status());
  std::printf("a session of %lld tokens takes %zu bytes, its state %lld\n", static_cast<long long>(kTokens),
              blob.size(), static_cast<long long>(service->GetSession("long")->state_bytes));
  for (int round = 0; round < 5; ++round) {
    service = nullptr;
    const auto begun = Clock::now();
    RADLADS_ASSIGN_OR_RETURN(service, SessionService::Create(*model, tokenizer, options, metrics));
    const double open = Milliseconds(Clock::now() - begun);
    RADLADS_ASSIGN_OR_RETURN(const auto none, Ask(*service, {.prompt = {1}, .max_tokens = 8}));
    RADLADS_ASSIGN_OR_RETURN(const auto disk, Ask(*service, {.session = "long", .prompt = {5}, .max_tokens = 8}));
    RADLADS_ASSIGN_OR_RETURN(const auto memory, Ask(*service, {.session = "long", .prompt = {5}, .max_tokens = 8}));
    std::printf(
        "open %.1f ms; first token from nothing %.1f ms, of the long session from disk %.1f ms, from memory "
        "%.1f ms\n",
        open, none.first, disk.first, memory.first);
  }
  for (const bool sync : {true, false}) {
    service = nullptr;
    options.store.sync = sync;
    RADLADS_ASSIGN_OR_RETURN(service, SessionService::Create(*model, tokenizer, options, metrics));
    std::vector<double> times;
    for (int i = 0; i < 21; ++i) {
      // A text that ends with its first token: what comes after that is the put.
      RADLADS_ASSIGN_OR_RETURN(const auto asked, Ask(*service, {.session = "short", .prompt = {5}, .max_tokens = 1}));
      times.push_back(asked.second - asked.first);
    }
    std::sort(times.begin(), times.end());
    std::printf("put of a state, %s: median %.2f ms, largest %.2f ms\n", sync ? "synced" : "not synced",
                times[times.size() / 2], times.back());
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  absl::Status status = BeginProgram();
  if (!status.ok()) return ExitCode(status);
  CLI::App app("Measures what sessions cost.");
  std::string model, store, dtype = "fp32";
  app.add_option("model", model, "Hugging Face directory.")->required();
  app.add_option("store", store, "Directory for the sessions: a new one.")->required();
  app.add_option("--dtype", dtype, "fp32, bf16 or auto.")->capture_default_str();
  app.callback([&] { status = Measure(model, store, dtype); });
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
