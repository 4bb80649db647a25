// The loss of stage 1: how far a student's mixer is from the attention that it replaces.
#ifndef RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_H_
#define RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// target, x [...,C], any float dtypes -> fp32 scalar (double when an argument is double):
//
//   mean over rows of ||target - x||_2 * C^-0.5
//
// The norm is not squared. The gradient goes to x only, in x's dtype, and is 0 in rows where x equals target.
at::Tensor L2Distance(const at::Tensor& target, const at::Tensor& x);

}  // namespace radlads

#endif  // RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_H_
