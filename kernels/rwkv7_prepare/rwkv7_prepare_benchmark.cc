// What stands between the projections and the recurrence of RAD-RWKV7: heads that share keys, rotary embedding, value
// residual. Bytes count each array that must be read or written once.
#include <ATen/ATen.h>

#include <cmath>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t B = 4, T = 512, H = 9, KV = 3, D = 64, A = H * D;

// Inputs: q, k, v, w, a, v_mix, v_first, w0, a0, v0, k_k, k_a.
std::vector<Tensor> Ours(const std::vector<Tensor>& x, const Tensor& cos, const Tensor& sin) {
  const Rwkv7Operands y = Rwkv7Prepare({x[0], x[1], x[2], x[3], x[4], x[5], x[6]}, {x[7], x[8], x[9], x[10], x[11]},
                                       cos, sin, /*balance_state=*/false);
  return {y.r, y.log_w, y.k, y.v, y.a, y.b};
}

// distill/train_torch.py has the same in Python.
std::vector<Tensor> Pytorch(const std::vector<Tensor>& x, const Tensor& cos, const Tensor& sin) {
  const auto heads = [](const Tensor& y) { return y.to(at::kFloat).unflatten(-1, {H, D}); };
  const auto rotate = [&](const Tensor& given) {
    const Tensor y = given.to(at::kFloat);
    const Tensor rotated = at::cat({-y.narrow(3, D / 2, D / 2), y.narrow(3, 0, D / 2)}, 3);
    return y * cos.unsqueeze(1) + rotated * sin.unsqueeze(1);
  };
  const Tensor r = rotate(x[0]), k = rotate(x[1]).repeat_interleave(H / KV, 2),
               v = x[2].to(at::kFloat).repeat_interleave(H / KV, 2);
  const Tensor log_w = -std::exp(-0.5) * at::sigmoid(heads(x[3] + x[7])), rate = at::sigmoid(heads(x[4] + x[8]));
  const Tensor scaled = k * heads(x[10]);
  const Tensor direction = scaled / at::linalg_vector_norm(scaled, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12);
  const Tensor mixed = v + (x[6] - v) * at::sigmoid(heads(x[5] + x[9]));
  return {r, log_w, k * (1 + (rate - 1) * heads(x[11])), mixed, -direction, direction * rate};
}

const BenchmarkRegistration kRegistration("rwkv7_prepare", [](BenchmarkRun& run) {
  const Tensor angles = at::rand({T, D / 2}).repeat({1, 2}), cos = angles.cos(), sin = angles.sin();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    std::vector<Tensor> inputs = {BenchmarkTensor({B, T, H, D}, type), BenchmarkTensor({B, T, KV, D}, type),
                                  BenchmarkTensor({B, T, KV, D}, type)};
    for (int i = 0; i < 3; ++i) inputs.push_back(BenchmarkTensor({B, T, A}, type));
    inputs.push_back(BenchmarkTensor({B, T, H, D}, at::kFloat));
    for (int i = 0; i < 5; ++i) inputs.push_back(BenchmarkTensor({1, 1, A}, at::kFloat));
    const double logits = (4 * A + 2 * KV * D) * c10::elementSize(type), v_first = A * 4, operands = 6 * A * 4;
    CompareForwardAndBackward(run, {.name = TypeName(type) + " B=4 T=512 H=9 KV=3 D=64",
                                    .inputs = inputs,
                                    .forward_bytes = B * T * (logits + v_first + operands),
                                    .backward_bytes = B * T * (2 * logits + 2 * v_first + operands),
                                    .ours = [&](const auto& x) { return Ours(x, cos, sin); },
                                    .pytorch = [&](const auto& x) { return Pytorch(x, cos, sin); }});
  }
});

}  // namespace
}  // namespace radlads
