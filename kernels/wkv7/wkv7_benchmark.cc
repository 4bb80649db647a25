// Speed of the wkv7 recurrence at the shapes of SmolLM2 and Qwen2.5-7B: time per token and head,
// and GFLOP/s counted as 9 K V operations forward and 30 K V backward. A name reads
// pass/B/T/H/D/threads.
//
//   bazel run //kernels/wkv7:wkv7_benchmark
#include <benchmark/benchmark.h>

#include <chrono>
#include <random>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/wkv7/wkv7.h"

namespace radlads {
namespace {

class Wkv7Benchmark {
 public:
  explicit Wkv7Benchmark(const WkvShape& shape) : shape_(shape) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int i = 0; i < 6; ++i) {
      inputs_[i].resize(i == 3 ? shape.values() : shape.keys());
      for (float& x : inputs_[i]) x = i == 1 ? -0.3f + 0.3f * uniform(random) : 0.2f * uniform(random);
      gradients_[i].resize(inputs_[i].size());
    }
    output_.resize(shape.values());
    d_output_.assign(shape.values(), 0.1f);
    state_.resize(shape.states());
    checkpoints_.resize(Wkv7CheckpointSize(shape));
  }
  void Forward(bool keep_checkpoints) {
    Wkv7Forward(shape_, Inputs(), {output_, state_},
                keep_checkpoints ? std::span<float>(checkpoints_) : std::span<float>());
  }
  void Backward() {
    Wkv7Backward(shape_, Inputs(), checkpoints_, {d_output_, {}},
                 {gradients_[0], gradients_[1], gradients_[2], gradients_[3], gradients_[4], gradients_[5], {}});
  }

 private:
  Wkv7Inputs<float> Inputs() const {
    return {inputs_[0], inputs_[1], inputs_[2], inputs_[3], inputs_[4], inputs_[5], 1.0, {}, {}};
  }
  WkvShape shape_;
  std::vector<float> inputs_[6], gradients_[6], output_, d_output_, state_, checkpoints_;
};

WkvShape Shape(const benchmark::State& state) {
  SetThreads(state.range(4));
  return {state.range(0), state.range(1), state.range(2), state.range(3), state.range(3)};
}

// Times `run`, and reports it against `operations` K V per token and head.
template <typename Run>
void Measure(benchmark::State& state, double operations, const Run& run) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) run();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const double token_heads = static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  const double seconds = elapsed.count() / state.iterations() / token_heads;
  state.counters["us/token-head"] = seconds * 1e6;
  state.counters["GFLOP/s"] = operations * state.range(3) * state.range(3) / seconds * 1e-9;
}

void Forward(benchmark::State& state) {
  Wkv7Benchmark work(Shape(state));
  Measure(state, 9, [&] { work.Forward(/*keep_checkpoints=*/true); });
}

void Inference(benchmark::State& state) {
  Wkv7Benchmark work(Shape(state));
  Measure(state, 9, [&] { work.Forward(/*keep_checkpoints=*/false); });
}

void Backward(benchmark::State& state) {
  Wkv7Benchmark work(Shape(state));
  work.Forward(/*keep_checkpoints=*/true);
  Measure(state, 30, [&] { work.Backward(); });
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const int threads : {1, 2}) {
    benchmark->Args({1, 512, 9, 64, threads});
    benchmark->Args({2, 512, 9, 64, threads});
    benchmark->Args({1, 512, 28, 128, threads});
  }
}

BENCHMARK(Forward)->Apply(Shapes);
BENCHMARK(Backward)->Apply(Shapes);
BENCHMARK(Inference)->Apply(Shapes)->Args({1, 1, 9, 64, 1})->Args({64, 1, 9, 64, 1});

}  // namespace
}  // namespace radlads

BENCHMARK_MAIN();
