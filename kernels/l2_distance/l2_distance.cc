#include "kernels/l2_distance/l2_distance.h"

#include "base/status.h"
#include "kernels/l2_distance/l2_distance_reference.h"

namespace radlads {

at::Tensor L2Distance(const at::Tensor& target, const at::Tensor& x) {
  RADLADS_CHECK(target.sizes() == x.sizes() && x.dim() >= 1 && x.numel() > 0)
      << "L2Distance: target is " << target.sizes() << ", x is " << x.sizes()
      << "; they must be alike and not empty";
  return L2DistanceReference(target, x);
}

}  // namespace radlads
