// An index service and its client in one process, over loopback: samples/s and GB/s of tokens on the wire.
//
//   bazel run //data/index_service:index_service_benchmark
//
// Server and client share the machine; CPU time is that of the whole process, both sides and gRPC's threads.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>

#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/shard_files.h"
#include "data/index_service/client.h"
#include "data/index_service/server.h"

namespace radlads {
namespace {

constexpr int64_t kTokens = 64 << 20, kRows = 256;

void Measure(benchmark::State& state, TokenType type) {
  const std::string directory =
      std::filesystem::temp_directory_path() / Concatenate("radlads-index-service-benchmark-", ::getpid());
  const std::string prefix = directory + "/data";
  auto writer = TokenDatasetWriter::Create(prefix, type);
  RADLADS_CHECK(writer.ok()) << writer.status();
  const std::vector<int32_t> document(1 << 20, 1234);
  while ((*writer)->tokens() < kTokens) RADLADS_CHECK((*writer)->AddDocument(document).ok());
  RADLADS_CHECK((*writer)->Commit().ok());
  IndexServerOptions options;
  options.catalog = directory + "/catalog";
  options.listen = "127.0.0.1:0";
  RADLADS_CHECK((*CatalogWriter::Open(options.catalog))->Add("data", *DescribeShard(prefix)).ok());
  auto server = IndexServer::Start(options);
  RADLADS_CHECK(server.ok()) << server.status();

  const int64_t ctx = state.range(0);
  {
    auto source =
        OpenRemoteSource(Concatenate("grpc://127.0.0.1:", (*server)->port(), "/data"), {.ctx = ctx}, RemoteOptions());
    RADLADS_CHECK(source.ok()) << source.status();
    std::vector<int32_t> out(kRows * (ctx + 1));
    std::vector<SampleRow> rows(kRows);
    int64_t sample = 0;
    for (auto _ : state) {
      for (int64_t r = 0; r < kRows; ++r) rows[r] = {sample + r, out.data() + r * (ctx + 1)};
      const absl::Status status = (*source)->Read(rows);
      RADLADS_CHECK(status.ok()) << status;
      sample += kRows;
    }
    state.SetItemsProcessed(sample);
    state.SetBytesProcessed(sample * (ctx + 1) * TokenBytes(type));
  }
  server->reset();
  std::filesystem::remove_all(directory);
}

void BM_Uint16(benchmark::State& state) {
  Measure(state, TokenType::kUint16);
}
void BM_Int32(benchmark::State& state) {
  Measure(state, TokenType::kInt32);
}
BENCHMARK(BM_Uint16)->Arg(512)->Arg(4096)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(BM_Int32)->Arg(512)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace radlads

BENCHMARK_MAIN();
