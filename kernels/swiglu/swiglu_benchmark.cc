#include <ATen/ATen.h>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/swiglu/swiglu.h"

namespace radlads {
namespace {

constexpr int64_t N = 4096, F = 2048;

const BenchmarkRegistration kRegistration("swiglu", [](BenchmarkRun& run) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double array = N * F * c10::elementSize(type);
    CompareForwardAndBackward(run, {.name = TypeName(type) + " N=4096 F=2048",
                                    .inputs = {BenchmarkTensor({N, F}, type), BenchmarkTensor({N, F}, type)},
                                    .forward_bytes = 3 * array,
                                    .backward_bytes = 5 * array,
                                    .ours = [](const auto& x) { return std::vector{SwiGlu(x[0], x[1])}; },
                                    .pytorch = [](const auto& x) { return std::vector{at::silu(x[0]) * x[1]}; }});
  }
});

}  // namespace
}  // namespace radlads
