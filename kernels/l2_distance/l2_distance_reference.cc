#include "kernels/l2_distance/l2_distance_reference.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor L2DistanceReference(const at::Tensor& target, const at::Tensor& x) {
  const at::ScalarType type = ArithmeticType({target, x});
  const at::Tensor difference = target.detach().to(type) - x.to(type);
  // linalg_vector_norm takes 0 as its gradient at 0.
  const double root = std::sqrt(static_cast<double>(x.size(-1)));
  return at::linalg_vector_norm(difference, 2, at::IntArrayRef{-1}).mean() / root;
}

}  // namespace radlads
