// Forward and backward of LinearLoss at SmolLM2's shape. GFLOP/s counts the four GEMMs (2 * N * C * W each).
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "base/parallel_for.h"
#include "kernels/linear_loss/linear_loss.h"

namespace radlads {
namespace {

void BM_LinearLoss(benchmark::State& state) {
  const int64_t N = state.range(0), C = 576, W = 49152;
  const at::ScalarType type = state.range(1) ? at::kBFloat16 : at::kFloat;
  const at::TensorOptions options = at::TensorOptions().dtype(type);
  LinearLossInputs inputs;
  inputs.hidden = at::randn({N, C}, options).set_requires_grad(true);
  inputs.weight = at::randn({W, C}, options).mul_(0.1).set_requires_grad(true);
  inputs.teacher_hidden = at::randn({N, C}, options);
  inputs.teacher_weight = inputs.weight.detach();
  inputs.kl_weight = 1;
  for (auto _ : state) {
    LinearLoss(inputs).loss.backward();
    inputs.hidden.mutable_grad().reset();
    inputs.weight.mutable_grad().reset();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(8.0 * N * C * W * state.iterations() * 1e-9, benchmark::Counter::kIsRate);
}
BENCHMARK(BM_LinearLoss)
    ->ArgNames({"N", "bf16"})
    ->Args({512, 0})
    ->Args({512, 1})
    ->Args({1024, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  // Freed memory stays with the process, as in a long run: page faults are not what is measured.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  radlads::SetThreads(0);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
