// Softmax attention beside at::scaled_dot_product_attention, forward: SmolLM2-135M (H 9, KV 3, D 64), Qwen2.5-0.5B
// (14, 2, 64) and Qwen2.5-7B (28, 4, 128), whole sequences, pieces after a long prefix and single tokens. GFLOP/s
// counts the visible keys only.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <cmath>
#include <tuple>
#include <utility>

#include "base/parallel_for.h"
#include "kernels/softmax_attention/softmax_attention.h"
#include "kernels/softmax_attention/softmax_attention_reference.h"

namespace radlads {
namespace {

template <class Attention>
void Run(benchmark::State& state, const Attention& attention) {
  const int64_t T = state.range(1), S = state.range(2), H = state.range(3), KV = state.range(4), D = state.range(5);
  const auto options = at::TensorOptions().dtype(state.range(0) ? at::kBFloat16 : at::kFloat);
  const at::Tensor q = at::randn({1, T, H, D}, at::kFloat).to(options);
  // As the key-value cache stores them.
  const at::Tensor k = at::randn({1, KV, S, D}, at::kFloat).to(options).transpose(1, 2);
  const at::Tensor v = at::randn({1, KV, S, D}, at::kFloat).to(options).transpose(1, 2);
  for (auto _ : state) {
    benchmark::DoNotOptimize(attention(q, k, v, 1 / std::sqrt(static_cast<double>(D)), at::Tensor()).data_ptr());
  }
  const double products = 4.0 * H * D * (T * static_cast<double>(S) - T * (T - 1) / 2.0);
  state.counters["GFLOP/s"] = benchmark::Counter(products * state.iterations() * 1e-9, benchmark::Counter::kIsRate);
}

void BM_SoftmaxAttention(benchmark::State& state) {
  Run(state, [](const auto&... x) { return CausalSoftmaxAttention(x...); });
}
void BM_ScaledDotProductAttention(benchmark::State& state) {
  Run(state, SoftmaxAttentionReference);
}

void Arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"bf16", "T", "S", "H", "KV", "D"})->Unit(benchmark::kMillisecond);
  for (const int64_t bf16 : {1, 0}) {
    for (const auto& [H, KV, D] : {std::tuple<int64_t, int64_t, int64_t>{9, 3, 64}, {14, 2, 64}, {28, 4, 128}}) {
      for (const auto& [T, S] :
           {std::pair<int64_t, int64_t>{512, 512}, {2048, 2048}, {64, 2048}, {4, 2048}, {1, 512}, {1, 8192}}) {
        benchmark->Args({bf16, T, S, H, KV, D});
      }
    }
  }
}
BENCHMARK(BM_SoftmaxAttention)->Apply(Arguments);
BENCHMARK(BM_ScaledDotProductAttention)->Apply(Arguments);

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  // Freed memory stays with the process, as in a long run: page faults are not what is measured.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  radlads::SetThreads(1);
  at::set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
