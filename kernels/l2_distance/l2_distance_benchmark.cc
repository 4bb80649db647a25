#include <ATen/ATen.h>

#include <cmath>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/l2_distance/l2_distance.h"

namespace radlads {
namespace {

constexpr int64_t N = 8192, C = 1024;

const BenchmarkRegistration kRegistration("l2_distance", [](BenchmarkRun& run) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor target = BenchmarkTensor({N, C}, type);
    const double array = N * C * c10::elementSize(type);
    CompareForwardAndBackward(run, {.name = TypeName(type) + " N=8192 C=1024",
                                    .inputs = {BenchmarkTensor({N, C}, type)},
                                    .forward_bytes = 2 * array,
                                    .backward_bytes = 3 * array,
                                    .ours = [&](const auto& x) { return std::vector{L2Distance(target, x[0])}; },
                                    .pytorch =
                                        [&](const auto& x) {
                                          const at::Tensor norms = at::linalg_vector_norm(
                                              target - x[0], 2, at::IntArrayRef{-1}, false, at::kFloat);
                                          return std::vector{norms.mean() * std::pow(C, -0.5)};
                                        }});
  }
});

}  // namespace
}  // namespace radlads
