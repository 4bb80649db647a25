#include <ATen/ATen.h>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/head_norm_gate/head_norm_gate.h"

namespace radlads {
namespace {

constexpr int64_t B = 8, T = 1024, H = 16, V = 64, A = H * V;
constexpr double kEps = V * 1e-5;

// As RAD-RWKV7 uses it: the output of the recurrence is fp32, group norm, sigmoid gate.
const BenchmarkRegistration kRegistration("head_norm_gate", [](BenchmarkRun& run) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double elements = B * T * A, element = c10::elementSize(type);
    CompareForwardAndBackward(
        run, {.name = TypeName(type) + " B=8 T=1024 H=16 V=64",
              .inputs = {BenchmarkTensor({B, T, H, V}, at::kFloat), BenchmarkTensor({A}, at::kFloat),
                         BenchmarkTensor({A}, at::kFloat), BenchmarkTensor({B, T, A}, type)},
              .forward_bytes = elements * (4 + 2 * element),
              .backward_bytes = elements * (4 + 4 + 3 * element),
              .ours =
                  [&](const auto& x) {
                    return std::vector{HeadNormGate(x[0], x[1], x[2], kEps, /*scale=*/1, x[3], true, type)};
                  },
              .pytorch =
                  [&](const auto& x) {
                    const at::Tensor normal = at::group_norm(x[0].reshape({B * T, A}), H, x[1], x[2], kEps);
                    return std::vector{normal.to(type).reshape({B, T, A}) * at::sigmoid(x[3])};
                  }});
  }
});

}  // namespace
}  // namespace radlads
