#include "kernels/rwkv7_prepare/rwkv7_prepare_reference.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

// x [B,T,heads,D]; tables [T,D] or [B,T,D].
at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  if (!cos.defined()) return x;
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * cos.detach().to(x.scalar_type()).unsqueeze(-2) + rotated * sin.detach().to(x.scalar_type()).unsqueeze(-2);
}

at::Tensor Normalise(const at::Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

Rwkv7Operands Rwkv7PrepareReference(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                                    const at::Tensor& sin, bool balance_state,
                                    std::optional<at::ScalarType> output_type) {
  const at::ScalarType type = ArithmeticType({logits.q, logits.k, logits.v, logits.w, logits.a, parameters.w0});
  const int64_t heads = logits.q.size(2), head_dim = logits.q.size(3), group = heads / logits.k.size(2);
  auto per_head = [&](const at::Tensor& x) { return x.to(type).unflatten(-1, {heads, head_dim}); };
  auto parameter = [&](const at::Tensor& x) { return x.to(type).reshape({heads, head_dim}); };

  Rwkv7Operands result;
  result.r = Rotate(logits.q.to(type), cos, sin);
  const at::Tensor k = Rotate(logits.k.to(type), cos, sin).repeat_interleave(group, 2);
  const at::Tensor v = logits.v.to(type).repeat_interleave(group, 2);
  result.log_w = -std::exp(-0.5) * at::sigmoid(per_head(logits.w) + parameter(parameters.w0));
  const at::Tensor iclr = at::sigmoid(per_head(logits.a) + parameter(parameters.a0));
  at::Tensor kk;
  if (balance_state) {
    kk = Normalise(k);
    result.k = k * (1 - result.log_w.exp() + iclr);
  } else {
    kk = Normalise(k * parameter(parameters.k_k));
    result.k = k * (1 + (iclr - 1) * parameter(parameters.k_a));
  }
  result.v = v;
  if (logits.v_mix.defined()) {
    const at::Tensor mix = at::sigmoid(per_head(logits.v_mix) + parameter(parameters.v0));
    result.v = v + (logits.v_first.to(type) - v) * mix;
  }
  result.a = -kk;
  result.b = kk * iclr;
  if (type != at::kDouble) {
    for (at::Tensor* x : {&result.r, &result.k, &result.v, &result.a, &result.b}) {
      *x = x->to(output_type.value_or(at::kFloat));
    }
  }
  return result;
}

}  // namespace radlads
