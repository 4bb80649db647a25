#include "kernels/benchmarks/differentiable.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/status.h"

namespace radlads {
namespace {

using at::Tensor;

// Leaves, results and their gradients of one implementation.
struct Graph {
  Graph(const DifferentiableFunction& function, const std::vector<Tensor>& inputs) {
    for (const Tensor& input : inputs) {
      arguments.push_back(input.defined() ? input.detach().clone().requires_grad_(input.is_floating_point()) : input);
      if (arguments.back().defined() && arguments.back().requires_grad()) leaves.push_back(arguments.back());
    }
    for (const Tensor& result : function(arguments)) {
      if (!result.requires_grad()) continue;
      results.push_back(result);
      gradients.push_back(at::ones_like(result));
    }
  }
  std::vector<Tensor> Backward() const {
    return torch::autograd::grad(results, leaves, gradients, /*retain_graph=*/true, /*create_graph=*/false,
                                 /*allow_unused=*/true);
  }
  std::vector<Tensor> arguments, leaves, results, gradients;
};

void CheckSame(const DifferentiableCase& test, const char* what, size_t i, const Tensor& got, const Tensor& want) {
  if (!got.defined() || !want.defined()) return;
  const Tensor difference = got.to(at::kDouble) - want.to(at::kDouble);
  const double error = difference.norm().item<double>(), size = want.to(at::kDouble).norm().item<double>();
  double tolerance = 1e-3;
  for (const Tensor& input : test.inputs) {
    if (input.defined() && input.scalar_type() == at::kBFloat16)
      tolerance = 0.1;  // PyTorch sums long rows in bf16 here and there
  }
  RADLADS_CHECK(error <= tolerance * size) << test.name << ", " << what << " " << i
                                           << ": PyTorch computes something else, relative difference " << error / size;
}

}  // namespace

void CompareForwardAndBackward(BenchmarkRun& run, const DifferentiableCase& test) {
  {
    const at::NoGradGuard no_gradients;
    const std::vector<Tensor> got = test.ours(test.inputs), want = test.pytorch(test.inputs);
    RADLADS_CHECK(got.size() == want.size());
    for (size_t i = 0; i < got.size(); ++i) CheckSame(test, "result", i, got[i], want[i]);
    run.Compare({.name = "forward " + test.name,
                 .bytes = test.forward_bytes,
                 .ours = [&] { test.ours(test.inputs); },
                 .peers = {{"PyTorch", [&] { test.pytorch(test.inputs); }}}});
  }
  const Graph ours(test.ours, test.inputs), pytorch(test.pytorch, test.inputs);
  const std::vector<Tensor> got = ours.Backward(), want = pytorch.Backward();
  for (size_t i = 0; i < got.size(); ++i) CheckSame(test, "gradient", i, got[i], want[i]);
  run.Compare({.name = "backward " + test.name,
               .bytes = test.backward_bytes,
               .ours = [&] { ours.Backward(); },
               .peers = {{"PyTorch", [&] { pytorch.Backward(); }}}});
}

at::Tensor BenchmarkTensor(at::IntArrayRef sizes, at::ScalarType type) {
  return at::randn(sizes).to(type);
}

std::string TypeName(at::ScalarType type) {
  return type == at::kBFloat16 ? "bf16" : "fp32";
}

}  // namespace radlads
