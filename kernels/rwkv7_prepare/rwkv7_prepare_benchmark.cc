// What stands around the recurrence of one RAD-RWKV7 layer, forward and backward: B*T = 1024, H = 9, KV = 3, D = 64
// (SmolLM2-135M). GB/s counts each array that must be read or written once.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "base/parallel_for.h"
#include "kernels/head_norm_gate/head_norm_gate.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

namespace radlads {
namespace {

constexpr int64_t B = 2, T = 512, H = 9, KV = 3, D = 64, A = H * D;

at::ScalarType TypeOf(const benchmark::State& state) {
  return state.range(0) ? at::kBFloat16 : at::kFloat;
}

void BM_Rwkv7Prepare(benchmark::State& state) {
  const bool backward = state.range(1);
  auto draw = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::randn(sizes, at::TensorOptions().dtype(type)).set_requires_grad(backward);
  };
  const at::ScalarType type = TypeOf(state);
  const Rwkv7Logits logits = {draw({B, T, H, D}, type),      draw({B, T, KV, D}, type), draw({B, T, KV, D}, type),
                              draw({B, T, A}, type),         draw({B, T, A}, type),     draw({B, T, A}, type),
                              draw({B, T, H, D}, at::kFloat)};
  const Rwkv7Parameters parameters = {draw({1, 1, A}, at::kFloat), draw({1, 1, A}, at::kFloat),
                                      draw({1, 1, A}, at::kFloat), draw({1, 1, A}, at::kFloat),
                                      draw({1, 1, A}, at::kFloat)};
  const at::Tensor angles = at::randn({T, D});
  const at::Tensor cos = angles.cos(), sin = angles.sin(), dy = at::randn({B, T, H, D});
  std::vector<at::Tensor> leaves = {logits.q,      logits.k,      logits.v,       logits.w,
                                    logits.a,      logits.v_mix,  logits.v_first, parameters.w0,
                                    parameters.a0, parameters.v0, parameters.k_k, parameters.k_a};
  const std::vector<at::Tensor> dys(6, dy);
  for (auto _ : state) {
    const Rwkv7Operands y = Rwkv7Prepare(logits, parameters, cos, sin, false);
    if (backward) {
      torch::autograd::backward({y.r, y.log_w, y.k, y.v, y.a, y.b}, dys);
      for (at::Tensor& leaf : leaves) leaf.mutable_grad().reset();
    }
    benchmark::DoNotOptimize(y.r.const_data_ptr());
  }
  const double inputs = 4 * A + 2 * KV * D, element = type == at::kFloat ? 4 : 2;
  const double forward_bytes = inputs * element + A * 4 + 6 * A * 4;
  const double backward_bytes = 2 * inputs * element + 2 * A * 4 + 6 * A * 4;
  state.counters["GB/s"] =
      benchmark::Counter(B * T * (forward_bytes + (backward ? backward_bytes : 0)) * state.iterations() * 1e-9,
                         benchmark::Counter::kIsRate);
}
BENCHMARK(BM_Rwkv7Prepare)
    ->ArgNames({"bf16", "backward"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_HeadNormGate(benchmark::State& state) {
  const bool backward = state.range(1);
  const at::ScalarType type = TypeOf(state);
  at::Tensor o = at::randn({B, T, H, D}).set_requires_grad(backward),
             weight = at::randn({A}).set_requires_grad(backward);
  at::Tensor bias = at::randn({A}).set_requires_grad(backward);
  at::Tensor gate = at::randn({B, T, A}, at::TensorOptions().dtype(type)).set_requires_grad(backward);
  const at::Tensor dy = at::randn({B, T, A}, at::TensorOptions().dtype(type));
  for (auto _ : state) {
    const at::Tensor y = HeadNormGate(o, weight, bias, D * 1e-5, 1, gate, true, type);
    if (backward) {
      y.backward(dy);
      for (at::Tensor* leaf : {&o, &weight, &bias, &gate}) leaf->mutable_grad().reset();
    }
    benchmark::DoNotOptimize(y.const_data_ptr());
  }
  const double element = type == at::kFloat ? 4 : 2;
  const double bytes = A * (4 + 2 * element) + (backward ? A * (8 + 3 * element) : 0);
  state.counters["GB/s"] = benchmark::Counter(B * T * bytes * state.iterations() * 1e-9, benchmark::Counter::kIsRate);
}
BENCHMARK(BM_HeadNormGate)
    ->ArgNames({"bf16", "backward"})
    ->ArgsProduct({{0, 1}, {0, 1}})
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
