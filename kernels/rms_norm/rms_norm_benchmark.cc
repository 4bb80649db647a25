#include <ATen/ATen.h>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/rms_norm/rms_norm.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t N = 8192, C = 1024;
constexpr double kEps = 1e-6;

const BenchmarkRegistration kRegistration("rms_norm", [](BenchmarkRun& run) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double array = N * C * c10::elementSize(type);
    CompareForwardAndBackward(run, {.name = TypeName(type) + " N=8192 C=1024",
                                    .inputs = {BenchmarkTensor({N, C}, type), BenchmarkTensor({C}, type)},
                                    .forward_bytes = 2 * array,
                                    .backward_bytes = 3 * array,
                                    .ours = [&](const auto& x) { return std::vector{RmsNorm(x[0], x[1], kEps, type)}; },
                                    .pytorch =
                                        [&](const auto& x) {
                                          const Tensor wide = x[0].to(at::kFloat);
                                          const Tensor mean = wide.pow(2).mean(-1, /*keepdim=*/true);
                                          return std::vector{x[1] * (wide * at::rsqrt(mean + kEps)).to(type)};
                                        }});
  }
});

}  // namespace
}  // namespace radlads
