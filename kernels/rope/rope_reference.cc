#include "kernels/rope/rope_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor RopeReference(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const at::ScalarType type = ArithmeticType({x, cos, sin});
  const int64_t half = x.size(-1) / 2;
  const at::Tensor wide = x.to(type);
  const at::Tensor rotated = at::cat({-wide.narrow(-1, half, half), wide.narrow(-1, 0, half)}, -1);
  // [T,D] or [B,T,D] -> [..,T,1,D], one angle for all heads.
  return (wide * cos.detach().to(type).unsqueeze(-2) + rotated * sin.detach().to(type).unsqueeze(-2))
      .to(x.scalar_type());
}

}  // namespace radlads
