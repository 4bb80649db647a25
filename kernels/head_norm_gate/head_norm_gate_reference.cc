#include "kernels/head_norm_gate/head_norm_gate_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor HeadNormGateReference(const at::Tensor& o, const at::Tensor& weight, const at::Tensor& bias, double eps,
                                 double scale, const at::Tensor& gate, bool gate_sigmoid, at::ScalarType out) {
  const at::ScalarType type = ArithmeticType({o, weight, bias, gate});
  const int64_t heads = o.size(2), head_dim = o.size(3);
  at::Tensor y = o.to(type);
  if (weight.defined()) {
    const at::Tensor centred = y - y.mean(-1, /*keepdim=*/true);
    const at::Tensor normalised = centred * at::rsqrt(centred.square().mean(-1, /*keepdim=*/true) + eps);
    y = normalised * weight.to(type).reshape({heads, head_dim}) + bias.to(type).reshape({heads, head_dim});
  } else {
    y = y * scale;
  }
  y = y.flatten(2);
  if (gate.defined()) {
    const at::Tensor factor = gate.to(type);
    y = y * (gate_sigmoid ? at::sigmoid(factor) : factor);
  }
  return y.to(out);
}

}  // namespace radlads
