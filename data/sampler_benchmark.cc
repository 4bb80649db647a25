// Random windows of a dataset in the page cache, as a training run reads them: samples/s and GB/s of tokens out.
//
//   bazel run //data:sampler_benchmark
//
// Makes files of 256 M tokens in the temporary directory and removes them. One thread, unless the name says otherwise.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/parallel_for.h"
#include "base/status.h"
#include "data/batches.h"
#include "data/binidx.h"

namespace radlads {
namespace {

constexpr int64_t kTokens = 256 << 20, kDocument = 1000, kRows = 1024;

std::string Directory() {
  static const std::string* const path = [] {
    auto* made =
        new std::string(std::filesystem::temp_directory_path() / Concatenate("radlads-sampler-benchmark-", ::getpid()));
    std::atexit([] { std::filesystem::remove_all(Directory()); });
    return made;
  }();
  return *path;
}

std::string Dataset(TokenType type) {
  static std::map<TokenType, std::string> made;
  std::string& prefix = made[type];
  if (!prefix.empty()) return prefix;
  prefix = Directory() + "/" + TokenTypeName(type);
  auto writer = TokenDatasetWriter::Create(prefix, type);
  RADLADS_CHECK(writer.ok()) << writer.status();
  std::vector<int32_t> document(kDocument);
  uint32_t random = 1;
  while ((*writer)->tokens() < kTokens) {
    for (int32_t& token : document) token = static_cast<int32_t>((random = random * 1664525u + 1013904223u) >> 17);
    RADLADS_CHECK((*writer)->AddDocument(document).ok());
  }
  const absl::Status status = (*writer)->Commit();
  RADLADS_CHECK(status.ok()) << status;
  return prefix;
}

std::shared_ptr<const SampleSource> Source(TokenType type, int64_t ctx) {
  auto sequence = TokenSequence::OpenPair(Dataset(type));
  RADLADS_CHECK(sequence.ok()) << sequence.status();
  auto source = CreateLocalSource(*sequence, {.ctx = ctx});
  RADLADS_CHECK(source.ok()) << source.status();
  // Every page is touched once: what is measured is reading, not the first mapping of a page.
  std::vector<int32_t> tokens(1 << 20);
  for (int64_t at = 0; at + (1 << 20) <= (*sequence)->tokens(); at += 1 << 20) {
    RADLADS_CHECK((*sequence)->Read(at, tokens).ok());
  }
  return *source;
}

void Measure(benchmark::State& state, const std::vector<std::shared_ptr<const SampleSource>>& sources, int threads) {
  SetThreads(threads);
  const int64_t ctx = sources[0]->ctx();
  auto batches = Batches::Create(sources, std::vector<double>(sources.size(), 1), 1, 1 << 15);
  RADLADS_CHECK(batches.ok()) << batches.status();
  std::vector<int32_t> out(kRows * (ctx + 1));
  int64_t sample = 0;
  for (auto _ : state) {
    const absl::Status status = (*batches)->ReadTokens(sample, 1, kRows, out);
    RADLADS_CHECK(status.ok()) << status;
    benchmark::DoNotOptimize(out.data());
    sample += kRows;
  }
  state.SetItemsProcessed(sample);
  state.SetBytesProcessed(sample * (ctx + 1) * static_cast<int64_t>(sizeof(int32_t)));
}

void BM_Uint16(benchmark::State& state) {
  Measure(state, {Source(TokenType::kUint16, state.range(0))}, 1);
}
void BM_Int32(benchmark::State& state) {
  Measure(state, {Source(TokenType::kInt32, state.range(0))}, 1);
}
void BM_Mixture(benchmark::State& state) {
  const int64_t ctx = state.range(0);
  Measure(state, {Source(TokenType::kUint16, ctx), Source(TokenType::kInt32, ctx)}, 1);
}
void BM_Uint16AllThreads(benchmark::State& state) {
  Measure(state, {Source(TokenType::kUint16, state.range(0))}, 0);
}
BENCHMARK(BM_Uint16)->Arg(512)->Arg(4096)->UseRealTime();
BENCHMARK(BM_Int32)->Arg(512)->UseRealTime();
BENCHMARK(BM_Mixture)->Arg(512)->UseRealTime();
BENCHMARK(BM_Uint16AllThreads)->Arg(512)->UseRealTime();

}  // namespace
}  // namespace radlads

BENCHMARK_MAIN();
