#include "kernels/rms_norm/rms_norm.h"

#include "base/status.h"
#include "kernels/rms_norm/rms_norm_reference.h"

namespace radlads {

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  RADLADS_CHECK(x.dim() >= 1 && weight.dim() == 1 && weight.size(0) == x.size(-1))
      << "RmsNorm: x " << x.sizes() << " needs a weight of its last size, got " << weight.sizes();
  return RmsNormReference(x, weight, eps, out);
}

}  // namespace radlads
