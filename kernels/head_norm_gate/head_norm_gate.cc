#include "kernels/head_norm_gate/head_norm_gate.h"

#include "base/status.h"
#include "kernels/head_norm_gate/head_norm_gate_reference.h"

namespace radlads {

at::Tensor HeadNormGate(const at::Tensor& o, const at::Tensor& weight, const at::Tensor& bias, double eps,
                        double scale, const at::Tensor& gate, bool gate_sigmoid, at::ScalarType out) {
  RADLADS_CHECK(o.dim() == 4) << "HeadNormGate: o must be [B,T,H,V], got " << o.sizes();
  const int64_t width = o.size(2) * o.size(3);
  RADLADS_CHECK(weight.defined() == bias.defined() &&
                (!weight.defined() || (weight.numel() == width && bias.numel() == width)))
      << "HeadNormGate: weight and bias must both have " << width << " elements or both be undefined";
  RADLADS_CHECK(!gate.defined() || (gate.dim() == 3 && gate.size(0) == o.size(0) && gate.size(1) == o.size(1) &&
                                    gate.size(2) == width))
      << "HeadNormGate: o " << o.sizes() << " needs a gate [B,T," << width << "], got " << gate.sizes();
  return HeadNormGateReference(o, weight, bias, eps, scale, gate, gate_sigmoid, out);
}

}  // namespace radlads
