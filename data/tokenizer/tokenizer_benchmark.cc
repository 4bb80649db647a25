// Speed of the tokenizer on one's own text, in MB (1e6 bytes of UTF-8) per second of CPU time, and its ids for
// comparison with other software. compare_with_peers.py runs it beside the Python packages.
//
//   bazel run //data/tokenizer:tokenizer_benchmark -- --tokenizer DIR --text FILE
//
// cold: every pass begins with a new encoder. warm: the encoders have seen the text before.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file.h"
#include "base/json.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {
namespace {

struct Flags {
  std::string tokenizer, text, ids;
  double megabytes = 100;
  int threads = 0, repetitions = 5;
};

// The "text" of every line of a .jsonl file, any other file whole.
absl::StatusOr<std::vector<std::string>> ReadDocuments(const Flags& flags) {
  RADLADS_ASSIGN_OR_RETURN(std::string contents, ReadFile(flags.text));
  const auto limit = static_cast<size_t>(flags.megabytes * 1e6);
  std::vector<std::string> documents;
  if (!flags.text.ends_with(".jsonl")) {
    contents.resize(std::min(contents.size(), limit));
    documents.push_back(std::move(contents));
    return documents;
  }
  size_t bytes = 0;
  for (size_t start = 0, line = 1; start < contents.size() && bytes < limit; ++line) {
    const size_t end = std::min(contents.find('\n', start), contents.size());
    RADLADS_ASSIGN_OR_RETURN(const nlohmann::json value, ParseJson(std::string_view(contents).substr(start, end - start),
                                                                   {.where = Concatenate(flags.text, ":", line)}));
    if (!value.is_object() || !value.contains("text") || !value["text"].is_string())
      return InvalidArgument(flags.text, ":", line, " is not a JSON object with a string \"text\"");
    documents.push_back(value["text"].get<std::string>());
    bytes += documents.back().size();
    start = end + 1;
  }
  return documents;
}

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class Benchmark {
 public:
  Benchmark(const Tokenizer& tokenizer, const std::vector<std::string>& documents, int threads)
      : tokenizer_(tokenizer), documents_(documents), ids_(threads) {
    for (int i = 0; i < threads; ++i) encoders_.push_back(tokenizer.NewEncoder());
    for (const std::string& document : documents) bytes_ += document.size();
  }

  // The best of `repetitions` passes, in MB per second of CPU time and per second.
  void Measure(bool cold, int repetitions) {
    if (!cold) Pass(cold);
    double cpu = 1e30, wall = 1e30;
    for (int i = 0; i < repetitions; ++i) {
      const double cpu_start = CpuSeconds();
      const auto start = std::chrono::steady_clock::now();
      Pass(cold);
      wall = std::min(wall, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      cpu = std::min(cpu, CpuSeconds() - cpu_start);
    }
    const double megabytes = 1e-6 * static_cast<double>(bytes_);
    size_t tokens = 0;
    for (const auto& ids : ids_) tokens += ids.size();
    std::printf("{\"threads\": %zu, \"cache\": \"%s\", \"MB_per_cpu_s\": %.1f, \"MB_per_s\": %.1f, \"tokens\": %zu}\n",
                encoders_.size(), cold ? "cold" : "warm", megabytes / cpu, megabytes / wall, tokens);
    std::fflush(stdout);
  }

 private:
  // Thread i of n takes the i-th n-th of the documents.
  void Work(size_t i, bool cold) {
    if (cold) encoders_[i] = tokenizer_.NewEncoder();
    ids_[i].clear();
    const size_t count = documents_.size(), threads = encoders_.size();
    for (size_t d = count * i / threads; d < count * (i + 1) / threads; ++d)
      encoders_[i].EncodeTo(documents_[d], &ids_[i]);
  }
  void Pass(bool cold) {
    std::vector<std::thread> threads;
    for (size_t i = 1; i < encoders_.size(); ++i) threads.emplace_back([this, i, cold] { Work(i, cold); });
    Work(0, cold);
    for (std::thread& thread : threads) thread.join();
  }

  const Tokenizer& tokenizer_;
  const std::vector<std::string>& documents_;
  std::vector<Tokenizer::Encoder> encoders_;
  std::vector<std::vector<int32_t>> ids_;
  size_t bytes_ = 0;
};

// int32, little-endian; -1 after every document.
absl::Status WriteIds(const Tokenizer& tokenizer, const std::vector<std::string>& documents, const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const auto file, AtomicFile::Create(path));
  Tokenizer::Encoder encoder = tokenizer.NewEncoder();
  std::vector<int32_t> ids;
  for (const std::string& document : documents) {
    ids.clear();
    encoder.EncodeTo(document, &ids);
    ids.push_back(-1);
    RADLADS_RETURN_IF_ERROR(file->Append(ids.data(), ids.size() * sizeof(int32_t)));
  }
  return file->Commit();
}

absl::Status Run(const Flags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(flags.tokenizer));
  RADLADS_ASSIGN_OR_RETURN(const auto documents, ReadDocuments(flags));
  if (!flags.ids.empty()) return WriteIds(*tokenizer, documents, flags.ids);
  const int all =
      flags.threads > 0 ? flags.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::vector<int> thread_counts = {1};
  if (all > 1) thread_counts.push_back(all);
  for (const int threads : thread_counts) {
    Benchmark benchmark(*tokenizer, documents, threads);
    benchmark.Measure(/*cold=*/true, flags.repetitions);
    benchmark.Measure(/*cold=*/false, flags.repetitions);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  absl::Status status = radlads::BeginProgram();
  radlads::Flags flags;
  CLI::App app("Measures the tokenizer: MB of text per second of CPU time, on one thread and on all.");
  app.add_option("--tokenizer", flags.tokenizer, "tokenizer.json, or the directory that has it")->required();
  app.add_option("--text", flags.text, "a .jsonl file with the key \"text\", or any file as one document")->required();
  app.add_option("--megabytes", flags.megabytes, "read at most so much text (1e6 bytes)");
  app.add_option("--threads", flags.threads, "how many are \"all\"; 0: the cores of the machine");
  app.add_option("--repetitions", flags.repetitions, "passes, of which the best counts");
  app.add_option("--ids", flags.ids,
                 "write the ids to this file instead of measuring: int32, little-endian, -1 after every document");
  if (const auto exit_code = radlads::ParseFlags(app, argc, argv)) return *exit_code;
  if (status.ok()) status = radlads::Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}
