#include "kernels/rms_norm/rms_norm_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor RmsNormReference(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  const at::ScalarType type = ArithmeticType({x, weight});
  const at::Tensor wide = x.to(type);
  const at::Tensor normalised = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  return (normalised.to(out).to(type) * weight.to(type)).to(out);
}

}  // namespace radlads
