// Benchmarks of operations with a gradient: forward alone, and backward alone over a graph that is kept.
#ifndef RADLADS_KERNELS_BENCHMARKS_DIFFERENTIABLE_H_
#define RADLADS_KERNELS_BENCHMARKS_DIFFERENTIABLE_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/benchmarks/benchmark.h"

namespace radlads {

using DifferentiableFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

struct DifferentiableCase {
  std::string name;
  std::vector<at::Tensor> inputs;  // all of floating-point inputs get a gradient; undefined ones are absent
  double forward_bytes, backward_bytes;
  DifferentiableFunction ours, pytorch;  // the same in plain PyTorch operations
};

// Aborts if the two differ by more than rounding to the dtype of the results explains.
void CompareForwardAndBackward(BenchmarkRun& run, const DifferentiableCase& test);

// Normal random numbers.
at::Tensor BenchmarkTensor(at::IntArrayRef sizes, at::ScalarType type);

// "fp32", "bf16"
std::string TypeName(at::ScalarType type);

}  // namespace radlads

#endif  // RADLADS_KERNELS_BENCHMARKS_DIFFERENTIABLE_H_
