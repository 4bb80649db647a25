// How far a result is from its reference: the one measure that every kernel test uses.
//
// The measure is the relative RMS, ||got - want|| / ||want||, in double. It is blind to a few bad elements among many,
// so ExpectClose also bounds the largest difference by 20 x tolerance x rms(want).
#ifndef RADLADS_KERNELS_TESTING_COMPARE_H_
#define RADLADS_KERNELS_TESTING_COMPARE_H_

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <span>

namespace radlads {

// ||got - want|| / ||want||. 0 when the two are equal (two empty spans included), infinity when only `want` is zero, or
// when the sizes differ. NaN in either gives NaN.
double RelativeRms(std::span<const double> got, std::span<const double> want);
double RelativeRms(std::span<const float> got, std::span<const double> want);
double RelativeRms(std::span<const float> got, std::span<const float> want);
// Any float dtypes, any strides, on the CPU; shapes must be equal, else infinity.
double RelativeRms(const at::Tensor& got, const at::Tensor& want);

// EXPECT_TRUE(IsClose(got, want, 1e-5)): relative RMS <= tolerance and max |got - want| <= 20 * tolerance * rms(want).
// NaN fails. The message gives both figures and the place of the largest difference.
::testing::AssertionResult IsClose(std::span<const double> got, std::span<const double> want, double tolerance);
::testing::AssertionResult IsClose(std::span<const float> got, std::span<const double> want, double tolerance);
::testing::AssertionResult IsClose(std::span<const float> got, std::span<const float> want, double tolerance);
::testing::AssertionResult IsClose(const at::Tensor& got, const at::Tensor& want, double tolerance);

// Every bit the same (so NaN equals the same NaN, and 0 is not -0). Shapes and dtypes must be equal.
::testing::AssertionResult BitwiseEqual(std::span<const float> got, std::span<const float> want);
::testing::AssertionResult BitwiseEqual(const at::Tensor& got, const at::Tensor& want);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TESTING_COMPARE_H_
