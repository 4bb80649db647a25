#include "kernels/rope/rope.h"

#include "base/status.h"
#include "kernels/rope/rope_reference.h"

namespace radlads {

at::Tensor Rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  RADLADS_CHECK(x.dim() == 4 && x.size(3) % 2 == 0) << "Rope: x must be [B,T,H,D] with D even, got " << x.sizes();
  RADLADS_CHECK((cos.dim() == 2 || (cos.dim() == 3 && cos.size(0) == x.size(0))) && cos.size(-2) == x.size(1) &&
                cos.size(-1) == x.size(3) && sin.sizes() == cos.sizes())
      << "Rope: x " << x.sizes() << " needs tables [T,D] or [B,T,D], got cos " << cos.sizes() << " and sin "
      << sin.sizes();
  return RopeReference(x, cos, sin);
}

}  // namespace radlads
