#include <ATen/ATen.h>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/rope/rope.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t B = 8, T = 1024, H = 16, D = 64;

const BenchmarkRegistration kRegistration("rope", [](BenchmarkRun& run) {
  const Tensor angles = at::rand({T, D / 2}).repeat({1, 2}), cos = angles.cos(), sin = angles.sin();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double array = B * T * H * D * c10::elementSize(type);
    CompareForwardAndBackward(
        run,
        {.name = TypeName(type) + " B=8 T=1024 H=16 D=64",
         .inputs = {BenchmarkTensor({B, T, H, D}, type)},
         .forward_bytes = 2 * array,
         .backward_bytes = 2 * array,
         .ours = [&](const auto& x) { return std::vector{Rope(x[0], cos, sin)}; },
         .pytorch =
             [&](const auto& x) {
               const Tensor rotated = at::cat({-x[0].narrow(3, D / 2, D / 2), x[0].narrow(3, 0, D / 2)}, 3);
               return std::vector{(x[0] * cos.to(type).unsqueeze(1) + rotated * sin.to(type).unsqueeze(1)).to(type)};
             }});
  }
});

}  // namespace
}  // namespace radlads
