// Tokens per second of the engine: bazel run //serve/engine:engine_benchmark -- MODEL [--dtype fp32|bf16] [--device
// cuda]
//
// Prints one line of JSON for each measurement: prompts read, texts that go on alone and beside others, and, with
// --depths, what a token takes after texts of that length. The best and the median of --repeats are given, and for
// texts that go on on the CPU the share of the memory's rate, measured on the spot, at which the weights are read.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/keep_freed_memory.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "kernels/benchmarks/machine.h"
#include "model/device.h"
#include "model/precision.h"
#include "model/pretrained.h"
#include "serve/engine/engine.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model, dtype = "fp32", device = "cpu";
  int threads = 0, repeats = 5;
  int64_t prompt = 512, tokens = 64;
  std::vector<int64_t> together = {1, 8}, depths;
};

double Seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

std::vector<int64_t> SomeTokens(int64_t count, int64_t vocabulary) {
  std::vector<int64_t> ids(count);
  uint64_t state = 1;
  for (int64_t& id : ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int64_t>((state >> 33) % vocabulary);
  }
  return ids;
}

// Starts `texts` of them, and waits. -> the seconds from the last text's first token to the first text's last: while
// all go on together.
absl::StatusOr<double> Continue(Engine& engine, const EngineRequest& request, int64_t texts) {
  std::vector<std::promise<EngineResult>> ends(texts);
  std::vector<Clock::time_point> first(texts), last(texts);
  for (int64_t i = 0; i < texts; ++i) {
    EngineRequest one = request;
    one.on_token = [&, i](int64_t, const Tensor&) {
      last[i] = Clock::now();
      if (first[i] == Clock::time_point()) first[i] = last[i];
      return true;
    };
    one.on_done = [&, i](EngineResult result) { ends[i].set_value(std::move(result)); };
    RADLADS_RETURN_IF_ERROR(engine.Submit(std::move(one)).status());
  }
  for (auto& end : ends) RADLADS_RETURN_IF_ERROR(end.get_future().get().status);
  return Seconds(*std::min_element(last.begin(), last.end()) - *std::max_element(first.begin(), first.end()));
}

// -> the seconds to the first token.
absl::StatusOr<double> Begin(Engine& engine, EngineRequest request) {
  std::promise<EngineResult> end;
  const auto begun = Clock::now();
  Clock::time_point first;
  request.max_tokens = 1;
  request.on_token = [&](int64_t, const Tensor&) {
    first = Clock::now();
    return true;
  };
  request.on_done = [&](EngineResult result) { end.set_value(std::move(result)); };
  RADLADS_RETURN_IF_ERROR(engine.Submit(std::move(request)).status());
  RADLADS_RETURN_IF_ERROR(end.get_future().get().status);
  return Seconds(first - begun);
}

// -> the snapshot after the prompt, and the seconds that it took.
absl::StatusOr<std::pair<SnapshotPtr, double>> ReadPrompt(Engine& engine, std::vector<int64_t> prompt) {
  std::promise<EngineResult> end;
  const auto begun = Clock::now();
  RADLADS_RETURN_IF_ERROR(engine
                              .Submit({.prompt = std::move(prompt),
                                       .max_tokens = 0,
                                       .on_done = [&](EngineResult result) { end.set_value(std::move(result)); }})
                              .status());
  EngineResult result = end.get_future().get();
  RADLADS_RETURN_IF_ERROR(result.status);
  return std::pair(std::move(result.snapshot), Seconds(Clock::now() - begun));
}

// That reading the matrices takes on the CPU. (The low-rank ones of RWKV are some percent more.)
double LeastSecondsPerStep(const Transformer& model) {
  int64_t bytes = 0;
  const bool tied = model.config().tie_word_embeddings();
  for (const auto& [name, linear] : model.LinearsByWeight()) {
    if (tied || name != "model.embed_tokens.weight") bytes += linear->matrix().bytes();
  }
  return bytes / MeasureReadBandwidth(bytes);
}

void Print(const std::string& what, int64_t tokens, std::vector<double> seconds, double steps = 0,
           double least_seconds_per_step = 0) {
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  nlohmann::ordered_json line = {{"what", what},
                                 {"best_tokens_per_second", tokens / seconds.front()},
                                 {"median_tokens_per_second", tokens / median},
                                 {"median_ms_per_token", 1e3 * median / tokens}};
  if (least_seconds_per_step > 0) line["share_of_memory_rate"] = steps * least_seconds_per_step / seconds.front();
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

absl::Status Measure(const Flags& flags) {
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  RADLADS_ASSIGN_OR_RETURN(const at::Device device, ChooseDevice(flags.device));
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(flags.model));
  RADLADS_ASSIGN_OR_RETURN(const std::shared_ptr<Transformer> model,
                           LoadForInference(directory, precision.dtype, device));
  const int64_t vocabulary = model->config().vocab_size();
  const double least = device.is_cpu() ? LeastSecondsPerStep(*model) : 0;
  EngineOptions options;
  options.prompt_tokens = 512;
  RADLADS_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Create(*model, options));

  std::vector<double> seconds;
  for (int i = 0; i <= flags.repeats; ++i) {
    RADLADS_ASSIGN_OR_RETURN(const auto read, ReadPrompt(*engine, SomeTokens(flags.prompt, vocabulary)));
    if (i > 0) seconds.push_back(read.second);  // the first one warms up
  }
  Print(Concatenate("prompt of ", flags.prompt), flags.prompt, seconds);

  const auto request_from = [&](SnapshotPtr from) {
    EngineRequest request = {.from = std::move(from), .prompt = {1}, .max_tokens = flags.tokens + 1};
    request.sampling.temperature = 0;
    return request;
  };
  for (const int64_t texts : flags.together) {
    seconds.clear();
    for (int i = 0; i <= flags.repeats; ++i) {
      RADLADS_ASSIGN_OR_RETURN(const double time, Continue(*engine, request_from(nullptr), texts));
      if (i > 0) seconds.push_back(time);
    }
    // The first text is some tokens ahead of the last one: what they do together is less than all.
    const int64_t steps = flags.tokens - (texts - 1);
    Print(Concatenate("decode, ", texts, " together"), texts * steps, seconds, steps, least);
  }
  for (const int64_t prompt : {1, 8}) {
    RADLADS_ASSIGN_OR_RETURN(const auto before, ReadPrompt(*engine, SomeTokens(64, vocabulary)));
    seconds.clear();
    for (int i = 0; i < 4 * flags.repeats; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // as between requests
      RADLADS_ASSIGN_OR_RETURN(const double time,
                               Begin(*engine, {.from = before.first, .prompt = SomeTokens(prompt, vocabulary)}));
      seconds.push_back(time);
    }
    Print(Concatenate("first token of ", prompt, " after a snapshot"), 1, seconds);
  }
  // In turns, so that what else the machine does meets all of them alike.
  std::vector<SnapshotPtr> snapshots;
  for (const int64_t depth : flags.depths) {
    RADLADS_ASSIGN_OR_RETURN(const auto read, ReadPrompt(*engine, SomeTokens(depth, vocabulary)));
    snapshots.push_back(read.first);
  }
  std::vector<std::vector<double>> taken(snapshots.size());
  for (int i = 0; i <= flags.repeats; ++i) {
    for (size_t depth = 0; depth < snapshots.size(); ++depth) {
      RADLADS_ASSIGN_OR_RETURN(const double time, Continue(*engine, request_from(snapshots[depth]), 1));
      if (i > 0) taken[depth].push_back(time);
    }
  }
  for (size_t depth = 0; depth < snapshots.size(); ++depth) {
    Print(Concatenate("decode after ", flags.depths[depth]), flags.tokens, taken[depth], flags.tokens, least);
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  KeepFreedMemory();
  absl::Status status = BeginProgram();
  if (!status.ok()) return ExitCode(status);
  CLI::App app("Measures the engine of the server.");
  Flags flags;
  const auto positive = AtLeast(1);
  app.add_option("model", flags.model, "Hugging Face directory, GGUF file or run.")->required();
  app.add_option("--dtype", flags.dtype, "fp32, bf16 or auto.")->capture_default_str();
  app.add_option("--device", flags.device, "cpu, cuda or cuda:N (of a --config=cuda build).")->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(positive);
  app.add_option("--prompt", flags.prompt, "Tokens of the prompts.")->check(positive)->capture_default_str();
  app.add_option("--tokens", flags.tokens, "That each text goes on for.")
      ->check(InRange(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--together", flags.together, "Texts that go on together.")->check(positive)->capture_default_str();
  app.add_option("--depths", flags.depths, "Lengths of texts to go on from.")->check(positive);
  app.add_option("--repeats", flags.repeats, "Of each measurement.")->check(positive)->capture_default_str();
  app.callback([&] { status = Measure(flags); });
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
