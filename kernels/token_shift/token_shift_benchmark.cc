// Token shift of one RAD-RWKV6 layer of SmolLM2-135M, the five data-dependent mixes, beside the same in PyTorch
// operations in the dtype of x. Bytes are those of arrays that must be read or written once.
#include <ATen/ATen.h>

#include <vector>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/token_shift/token_shift.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t B = 2, T = 512, C = 576, N = 5;

std::vector<Tensor> Pytorch(const Tensor& x, const Tensor& previous, const Tensor& reset, const Tensor& maa,
                            const Tensor& amounts) {
  const Tensor before = at::cat({previous.unsqueeze(1), x.narrow(1, 0, T - 1)}, 1).masked_fill(reset.unsqueeze(2), 0);
  const Tensor delta = before - x;
  std::vector<Tensor> mixed;
  for (int64_t i = 0; i < N; ++i) mixed.push_back(x + delta * (maa[i].to(x.scalar_type()) + amounts[i]));
  return mixed;
}

const BenchmarkRegistration kRegistration("token_shift", [](BenchmarkRun& run) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double array = B * T * C * c10::elementSize(type);
    const Tensor previous = at::zeros({B, C}, type), reset = at::zeros({B, T}, at::kBool);
    CompareForwardAndBackward(run,
                              {.name = TypeName(type) + " B=2 T=512 C=576 N=5",
                               .inputs = {BenchmarkTensor({B, T, C}, type), BenchmarkTensor({N, C}, at::kFloat),
                                          BenchmarkTensor({N, B, T, C}, type)},
                               .forward_bytes = (1 + 2 * N) * array,
                               .backward_bytes = (2 + 3 * N) * array,
                               .ours = [=](const auto& x) { return TokenShift(x[0], previous, reset, x[1], x[2]); },
                               .pytorch = [=](const auto& x) { return Pytorch(x[0], previous, reset, x[1], x[2]); }});
  }
});

}  // namespace
}  // namespace radlads
