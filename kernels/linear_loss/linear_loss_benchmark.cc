// LinearLoss (KL against a teacher) at SmolLM2's shape, forward and backward in one, beside full logits in PyTorch.
// Operations are those of the four products.
#include <ATen/ATen.h>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/linear_loss/linear_loss.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t C = 576, W = 49152;

void Pytorch(const LinearLossInputs& in) {
  const auto logits = [](const Tensor& hidden, const Tensor& weight) {
    return at::log_softmax(at::matmul(hidden, weight.t()).to(at::kFloat), -1);
  };
  const Tensor student = logits(in.hidden, in.weight), teacher = logits(in.teacher_hidden, in.teacher_weight);
  at::kl_div(student, teacher, at::Reduction::Sum, /*log_target=*/true).div(in.hidden.size(0)).backward();
}

const BenchmarkRegistration kRegistration("linear_loss", [](BenchmarkRun& run) {
  for (const auto& [N, type] : {std::pair(512, at::kFloat), std::pair(512, at::kBFloat16)}) {
    LinearLossInputs in;
    in.hidden = BenchmarkTensor({N, C}, type).set_requires_grad(true);
    in.weight = BenchmarkTensor({W, C}, type).mul_(0.1).set_requires_grad(true);
    in.teacher_hidden = BenchmarkTensor({N, C}, type);
    in.teacher_weight = in.weight.detach();
    in.kl_weight = 1;
    const auto forget = [&] {
      in.hidden.mutable_grad().reset();
      in.weight.mutable_grad().reset();
    };
    run.Compare({.name = "forward and backward " + TypeName(type) + " N=512 C=576 W=49152",
                 .flops = 8.0 * N * C * W,
                 .ours =
                     [&] {
                       LinearLoss(in).loss.backward();
                       forget();
                     },
                 .peers = {{"PyTorch", [&] {
                              Pytorch(in);
                              forget();
                            }}}});
  }
});

}  // namespace
}  // namespace radlads
