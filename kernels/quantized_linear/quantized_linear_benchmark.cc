// Products with matrices of a model of 1.5 billion parameters (8960 x 1536), beside LibTorch's own and the scalar loop
// of llama.cpp. As many matrices are taken in turn as no cache holds, and the columns are those of the fastest of these
// products, so that what else runs on the machine matters less:
//   GB/s       bytes of weights read
//   of_read    the same, as a share of the read bandwidth of a plain vectorised sum, measured alike just before
//   GMAC/s     multiplications and additions
//   x_one_row  time, as a multiple of what one row takes
// A name reads product/kind/dtype of x/rows/threads.
//
//   bazel run -c opt //kernels/quantized_linear:quantized_linear_benchmark
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear.h"
#include "kernels/quantized_linear/weight_memory.h"

namespace radlads {
namespace {

constexpr int64_t kOut = 8960, kIn = 1536;
constexpr int64_t kBytes = 192 << 20;  // of weights in a pass

// With one thread, the processor's time: other programs on the machine matter less.
double Now() {
  timespec time;
  clock_gettime(Threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Seconds(const std::function<void()>& run) {
  const double start = Now();
  run();
  return Now() - start;
}

#if defined(__x86_64__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
uint64_t
SumOf(const uint64_t* x, int64_t count) {
  // Four places at a time: the processor fetches ahead better than from one.
  uint64_t a = 0, b = 0, c = 0, d = 0;
  const int64_t quarter = count / 4;
  for (int64_t i = 0; i < quarter; ++i) {
    a += x[i];
    b += x[i + quarter];
    c += x[i + 2 * quarter];
    d += x[i + 3 * quarter];
  }
  return a + b + c + d;
}

// Bytes per second of reading memory that no cache holds: the best of pieces as large as a matrix, read in turn.
double ReadBandwidth() {
  constexpr int64_t kPiece = 12 << 20;
  static const std::shared_ptr<uint8_t> memory = [] {
    auto pages = AllocateWeightMemory(kBytes);
    std::memset(pages.get(), 1, kBytes);
    return pages;
  }();
  double best = 1e30;
  for (int64_t at = 0; at < 4 * kBytes; at += kPiece) {
    const auto* words = reinterpret_cast<const uint64_t*>(memory.get() + at % kBytes);
    best = std::min(best, Seconds([&] {
                      ParallelFor(kPiece / 4096, 1, [&](int64_t first, int64_t last) {
                        benchmark::DoNotOptimize(SumOf(words + first * 512, (last - first) * 512));
                      });
                    }));
  }
  return kPiece / best;
}

std::vector<float> Random(int64_t count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> x(count);
  for (float& value : x) value = uniform(random);
  return x;
}

// Matrices of one kind, together kBytes or a little more.
const std::vector<WeightMatrix>& Matrices(WeightKind kind) {
  static std::map<WeightKind, std::vector<WeightMatrix>> matrices;
  static std::vector<std::shared_ptr<uint8_t>> memory;
  std::vector<WeightMatrix>& found = matrices[kind];
  if (!found.empty()) return found;
  matrices.clear();
  memory.clear();
  std::vector<WeightMatrix>& made = matrices[kind];
  const std::vector<float> w = Random(kOut * kIn);
  std::vector<uint8_t> blocks(kOut * RowBytes(kind, kIn));
  if (IsQuantized(kind)) {
    RADLADS_CHECK(Quantize(kind, w.data(), kOut, kIn, blocks.data()).ok());
  } else {
    const at::Tensor all = at::from_blob(const_cast<float*>(w.data()), {kOut, kIn}, at::kFloat)
                               .to(kind == WeightKind::kBf16 ? at::kBFloat16 : at::kFloat);
    std::memcpy(blocks.data(), all.const_data_ptr(), blocks.size());
  }
  for (int64_t bytes = 0; bytes < kBytes; bytes += made.back().bytes()) {
    if (IsQuantized(kind)) {
      made.push_back(WeightMatrix::Pack(kind, kOut, kIn, blocks.data()));
    } else {
      memory.push_back(AllocateWeightMemory(blocks.size()));
      std::memcpy(memory.back().get(), blocks.data(), blocks.size());
      made.push_back(WeightMatrix::Borrow(kind, kOut, kIn, memory.back().get()));
    }
  }
  return made;
}

// Times `multiply`, which makes y of x for one matrix, over all matrices.
void Measure(benchmark::State& state, const std::string& what, const std::vector<WeightMatrix>& matrices,
             const std::function<void(const WeightMatrix&)>& multiply) {
  static std::map<std::string, double> one_row;
  const double read = ReadBandwidth();
  double best = 1e30;
  for (auto _ : state) {
    for (const WeightMatrix& w : matrices) best = std::min(best, Seconds([&] { multiply(w); }));
  }
  const int64_t rows = state.range(0);
  const std::string key = what + "/" + std::to_string(state.range(1));
  if (rows == 1) one_row[key] = best;
  state.counters["ms"] = best * 1e3;
  state.counters["GB/s"] = matrices[0].bytes() / best * 1e-9;
  state.counters["of_read"] = matrices[0].bytes() / best / read;
  state.counters["GMAC/s"] = static_cast<double>(rows) * kOut * kIn / best * 1e-9;
  if (one_row.contains(key)) state.counters["x_one_row"] = best / one_row[key];
}

void SetAllThreads(const benchmark::State& state) {
  SetThreads(state.range(1));
  at::set_num_threads(state.range(1));
}

void Ours(benchmark::State& state, WeightKind kind, at::ScalarType type) {
  SetAllThreads(state);
  const int64_t rows = state.range(0);
  const at::Tensor x = at::randn({rows, kIn}).to(type), y = at::empty({rows, kOut}, type);
  const bool bf16 = type == at::kBFloat16;
  Measure(state, Concatenate("ours", WeightKindName(kind), bf16), Matrices(kind), [&](const WeightMatrix& w) {
    QuantizedLinear(w, {rows, x.const_data_ptr(), bf16, y.mutable_data_ptr(), bf16});
  });
}

void Torch(benchmark::State& state, WeightKind kind) {
  SetAllThreads(state);
  at::NoGradGuard no_grad;
  const at::ScalarType type = kind == WeightKind::kBf16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor x = at::randn({state.range(0), kIn}).to(type);
  Measure(state, Concatenate("torch", WeightKindName(kind)), Matrices(kind), [&](const WeightMatrix& w) {
    benchmark::DoNotOptimize(at::linear(x, at::from_blob(const_cast<uint8_t*>(w.data()), {kOut, kIn}, type)));
  });
}

// Prefill as model/linear does it: the weights as numbers, then LibTorch's product.
void DecodedThenTorch(benchmark::State& state, WeightKind kind, at::ScalarType type) {
  SetAllThreads(state);
  at::NoGradGuard no_grad;
  const at::Tensor x = at::randn({state.range(0), kIn}).to(type);
  Measure(state, Concatenate("decoded", WeightKindName(kind)), Matrices(kind), [&](const WeightMatrix& w) {
    const at::Tensor numbers = at::empty({kOut, kIn}, type);
    w.Read(0, kOut, numbers.mutable_data_ptr(), type == at::kBFloat16);
    benchmark::DoNotOptimize(at::linear(x, numbers));
  });
}

// ggml_vec_dot_q8_0_q8_0 without SIMD: x in blocks of Q8 as well, an integer sum for each block. Weights lie as stored.
__attribute__((optimize("no-tree-vectorize"))) float ScalarDot(const uint8_t* w, const uint8_t* x, int64_t blocks) {
  const auto half = [](const uint8_t* bytes) {
    _Float16 value;
    std::memcpy(&value, bytes, sizeof(value));
    return static_cast<float>(value);
  };
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b, w += 34, x += 34) {
    int block = 0;
    for (int i = 0; i < 32; ++i) block += static_cast<int8_t>(w[2 + i]) * static_cast<int8_t>(x[2 + i]);
    sum += static_cast<float>(block) * half(w) * half(x);
  }
  return sum;
}

void ScalarLoop(benchmark::State& state) {
  SetAllThreads(state);
  const int64_t rows = state.range(0), row_bytes = RowBytes(WeightKind::kQ8, kIn);
  std::vector<uint8_t> blocks(kOut * row_bytes), x_blocks(rows * row_bytes);
  RADLADS_CHECK(Quantize(WeightKind::kQ8, Random(kOut * kIn).data(), kOut, kIn, blocks.data()).ok());
  const std::vector<float> x = Random(rows * kIn);
  std::vector<float> y(rows * kOut);
  const std::vector<WeightMatrix> one = {WeightMatrix::Pack(WeightKind::kQ8, kOut, kIn, blocks.data())};
  Measure(state, "scalar", one, [&](const WeightMatrix&) {
    RADLADS_CHECK(Quantize(WeightKind::kQ8, x.data(), rows, kIn, x_blocks.data()).ok());
    ParallelFor(kOut, 16, [&](int64_t first, int64_t last) {
      for (int64_t o = first; o < last; ++o) {
        for (int64_t r = 0; r < rows; ++r) {
          y[r * kOut + o] = ScalarDot(blocks.data() + o * row_bytes, x_blocks.data() + r * row_bytes, kIn / 32);
        }
      }
    });
  });
}

void Batches(benchmark::internal::Benchmark* benchmark) {
  benchmark->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.3)->ArgNames({"rows", "threads"});
  for (const int threads : {1, 2}) {
    for (const int rows : {1, 2, 4, 8, 16, 64}) benchmark->Args({rows, threads});
  }
}
void LargeBatches(benchmark::internal::Benchmark* benchmark) {
  benchmark->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.3)->ArgNames({"rows", "threads"});
  for (const int rows : {64, 96, 128, 256}) benchmark->Args({rows, 1});
}

BENCHMARK_CAPTURE(Ours, fp32 / fp32, WeightKind::kFp32, at::kFloat)->Apply(Batches);
BENCHMARK_CAPTURE(Torch, fp32 / fp32, WeightKind::kFp32)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, bf16 / bf16, WeightKind::kBf16, at::kBFloat16)->Apply(Batches);
BENCHMARK_CAPTURE(Torch, bf16 / bf16, WeightKind::kBf16)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, q8 / bf16, WeightKind::kQ8, at::kBFloat16)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, q8 / fp32, WeightKind::kQ8, at::kFloat)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, q4 / bf16, WeightKind::kQ4, at::kBFloat16)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, q4 / fp32, WeightKind::kQ4, at::kFloat)->Apply(Batches);
BENCHMARK_CAPTURE(Ours, large / q4 / bf16, WeightKind::kQ4, at::kBFloat16)->Apply(LargeBatches);
BENCHMARK_CAPTURE(DecodedThenTorch, large / q4 / bf16, WeightKind::kQ4, at::kBFloat16)->Apply(LargeBatches);
BENCHMARK_CAPTURE(Ours, large / q4 / fp32, WeightKind::kQ4, at::kFloat)->Apply(LargeBatches);
BENCHMARK_CAPTURE(DecodedThenTorch, large / q4 / fp32, WeightKind::kQ4, at::kFloat)->Apply(LargeBatches);
BENCHMARK(ScalarLoop)->Apply(Batches);

}  // namespace
}  // namespace radlads

BENCHMARK_MAIN();
