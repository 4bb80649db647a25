// The benchmark that wkv6 and wkv7 share: the torch operator beside PyTorch's chunked form and the loop of llama.cpp
// and rwkv.cpp, at the shapes of SmolLM2-135M (D = 64) and Qwen2.5-7B (D = 128), and one token for 64 conversations.
#ifndef RADLADS_KERNELS_WKV_WKV_BENCHMARK_H_
#define RADLADS_KERNELS_WKV_WKV_BENCHMARK_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/benchmarks/benchmark.h"
#include "kernels/wkv/shape.h"

// Before a loop: compiled as those programs usually are, for the instructions of the machine.
#if defined(__x86_64__)
#define RADLADS_FOR_THIS_MACHINE __attribute__((target_clones("arch=haswell", "default")))
#else
#define RADLADS_FOR_THIS_MACHINE
#endif

namespace radlads {

struct WkvBenchmark {
  // Operations for each element of the state and token.
  double forward_flops, backward_flops;
  size_t operands;  // 6, or 4 without the delta term
  // The operator on `operands` [B,T,H,D] from `state`, scale 1.
  std::function<std::pair<at::Tensor, at::Tensor>(const std::vector<at::Tensor>& operands,
                                                  std::optional<at::Tensor> state)>
      call;
  // What one writes in PyTorch: batched matrix products over chunks of 16 tokens. Operands [B,H,T,D] fp32, T a multiple
  // of 16; returns the output, [B,H,T,D].
  std::function<at::Tensor(const std::vector<at::Tensor>& operands)> chunked;
  // Loops as llama.cpp and rwkv.cpp have them, one token after the other, by name. Operands [T,H,D], the decay not its
  // logarithm; `state` [H,D,D] in their layout; fp32.
  using Loop = std::function<void(const WkvShape& shape, const std::vector<const float*>& operands, float* state,
                                  float* output)>;
  std::vector<std::pair<std::string, Loop>> loops;
};

void RunWkvBenchmark(BenchmarkRun& run, const WkvBenchmark& benchmark);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_WKV_BENCHMARK_H_
