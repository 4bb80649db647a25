// Token shift of one RAD-RWKV6 layer, forward and backward, beside the same in ATen operations in
// the dtype of x: B*T = 1024, C = 576 (SmolLM2-135M), the five data-dependent mixes. GB/s counts
// each array that must be read or written once.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "base/parallel_for.h"
#include "kernels/token_shift/token_shift.h"

namespace radlads {
namespace {

constexpr int64_t B = 2, T = 512, C = 576, N = 5;

std::vector<at::Tensor> AtenTokenShift(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                       const at::Tensor& maa, const at::Tensor& amounts) {
  at::Tensor before = at::cat({previous.unsqueeze(1), x.narrow(1, 0, T - 1)}, 1).masked_fill(reset.unsqueeze(2), 0);
  const at::Tensor delta = before - x;
  std::vector<at::Tensor> mixed;
  for (int64_t i = 0; i < N; ++i) mixed.push_back(x + delta * (maa[i].to(x.scalar_type()) + amounts[i]));
  return mixed;
}

template <class Shift>
void Run(benchmark::State& state, const Shift& shift) {
  const at::ScalarType type = state.range(0) ? at::kBFloat16 : at::kFloat;
  const bool backward = state.range(1);
  auto draw = [&](at::IntArrayRef sizes, at::ScalarType dtype) {
    return at::randn(sizes, at::TensorOptions().dtype(dtype)).set_requires_grad(backward);
  };
  std::vector<at::Tensor> leaves = {draw({B, T, C}, type), draw({N, C}, at::kFloat), draw({N, B, T, C}, type)};
  const at::Tensor previous = at::zeros({B, C}, type), reset = at::zeros({B, T}, at::kBool);
  const std::vector<at::Tensor> dy(N, at::randn({B, T, C}).to(type));
  for (auto _ : state) {
    const std::vector<at::Tensor> y = shift(leaves[0], previous, reset, leaves[1], leaves[2]);
    if (backward) {
      torch::autograd::backward(y, dy);
      for (at::Tensor& leaf : leaves) leaf.mutable_grad().reset();
    }
    benchmark::DoNotOptimize(y[0].const_data_ptr());
  }
  const double element = type == at::kFloat ? 4 : 2, arrays = 1 + 2 * N + (backward ? 2 + 3 * N : 0);
  state.counters["GB/s"] =
      benchmark::Counter(B * T * C * element * arrays * state.iterations() * 1e-9, benchmark::Counter::kIsRate);
}

void BM_TokenShift(benchmark::State& state) {
  Run(state, TokenShift);
}
void BM_TokenShiftAten(benchmark::State& state) {
  Run(state, AtenTokenShift);
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"bf16", "backward"})
      ->ArgsProduct({{0, 1}, {0, 1}})
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}
BENCHMARK(BM_TokenShift)->Apply(Arguments);
BENCHMARK(BM_TokenShiftAten)->Apply(Arguments);

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
