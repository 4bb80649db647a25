#include "kernels/rope/rope.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/rope/rope_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

struct Case {
  int64_t B, T, H, D;
  bool tables_per_batch;
};

const Case kCases[] = {
    {2, 5, 3, 64, false}, {2, 5, 3, 64, true}, {1, 1, 2, 32, false}, {3, 40, 1, 128, true}, {2, 3, 4, 10, false}};

at::Tensor Angles(const Case& c) {
  const at::Tensor half = c.tables_per_batch ? RandomTensor({c.B, c.T, c.D / 2}, 9) : RandomTensor({c.T, c.D / 2}, 9);
  return at::cat({half, half}, -1);
}

template <class F>
Operation Bind(const F& f, const at::Tensor& angles) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], angles.cos(), angles.sin())}; };
}

TEST(Rope, MatchesDoubleReference) {
  for (const Case& c : kCases) {
    const std::string what = Concatenate("B=", c.B, " T=", c.T, " H=", c.H, " D=", c.D);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const double tolerance = type == at::kFloat ? 1e-6 : 5e-3;
      ExpectMatchesReference(Bind(Rope, Angles(c)), Bind(RopeReference, Angles(c)),
                             {RandomTensor({c.B, c.T, c.H, c.D}, 1, type)}, tolerance, tolerance, what);
    }
  }
}

TEST(Rope, ReferenceGradientsMatchDifferences) {
  const Case c = {2, 2, 2, 4, true};
  ExpectGradientsMatchDifferences(Bind(RopeReference, Angles(c)), {RandomTensor({2, 2, 2, 4}, 1, at::kDouble)}, "D=4");
}

// Tables that were not made of two equal halves are used as they are.
TEST(Rope, HalvesOfTheTablesMayDiffer) {
  const at::Tensor angles = RandomTensor({5, 32}, 3);
  ExpectMatchesReference(Bind(Rope, angles), Bind(RopeReference, angles), {RandomTensor({2, 5, 3, 32}, 1)}, 1e-6, 1e-6,
                         "unequal halves");
}

TEST(Rope, PositionZeroChangesNothingAndRotationKeepsTheNorm) {
  const at::Tensor x = RandomTensor({2, 4, 3, 64}, 1);
  EXPECT_TRUE(BitwiseEqual(Rope(x, at::ones({4, 64}), at::zeros({4, 64})), x));
  const at::Tensor angles = Angles({2, 4, 3, 64, false});
  EXPECT_TRUE(IsClose(Rope(x, angles.cos(), angles.sin()).norm(2, -1), x.norm(2, -1), 1e-6));
}

TEST(Rope, SoloEqualsBatchedAndStridedEqualsContiguous) {
  const Case c = {3, 5, 2, 64, false};
  const at::Tensor x = RandomTensor({3, 5, 2, 64}, 1), cos = Angles(c).cos(), sin = Angles(c).sin();
  const at::Tensor batched = Rope(x, cos, sin);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(BitwiseEqual(Rope(x.narrow(0, row, 1), cos, sin), batched.narrow(0, row, 1)));
  }
  EXPECT_TRUE(BitwiseEqual(Rope(x.transpose(1, 2).contiguous().transpose(1, 2), cos, sin), batched));
  EXPECT_FALSE(batched.requires_grad());
}

}  // namespace
}  // namespace radlads
