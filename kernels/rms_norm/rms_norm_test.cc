#include "kernels/rms_norm/rms_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/rms_norm/rms_norm_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

constexpr double kEps = 1e-6;

template <class F>
Operation Bind(const F& f, at::ScalarType out) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], x[1], kEps, out)}; };
}

Tensors Inputs(at::IntArrayRef sizes, at::ScalarType x_type, at::ScalarType weight_type = at::kFloat) {
  return {RandomTensor(sizes, 1, x_type), RandomTensor(sizes.slice(sizes.size() - 1), 2, weight_type)};
}

const std::vector<int64_t> kShapes[] = {{2, 5, 576}, {1, 1, 33}, {3, 100, 7}, {2, 3, 4, 64}, {130, 1}, {1, 1, 4, 128}};

TEST(RmsNorm, Fp32MatchesDoubleReference) {
  for (const auto& sizes : kShapes) {
    // C = 1: y = sign(x), whose gradient is nothing but rounding.
    if (sizes.back() == 1) continue;
    ExpectMatchesReference(Bind(RmsNorm, at::kFloat), Bind(RmsNormReference, at::kDouble), Inputs(sizes, at::kFloat),
                           1e-6, 2e-6, Concatenate(at::IntArrayRef(sizes)));
  }
}

TEST(RmsNorm, Bf16MatchesReferenceOnTheSameValues) {
  for (const auto& sizes : kShapes) {
    if (sizes.back() == 1) continue;
    for (const at::ScalarType weight_type : {at::kFloat, at::kBFloat16}) {
      ExpectMatchesReference(Bind(RmsNorm, at::kBFloat16), Bind(RmsNormReference, at::kDouble),
                             Inputs(sizes, at::kBFloat16, weight_type), 5e-3, 5e-3,
                             Concatenate(at::IntArrayRef(sizes), " weight ", weight_type));
    }
    ExpectMatchesReference(Bind(RmsNorm, at::kBFloat16), Bind(RmsNormReference, at::kDouble), Inputs(sizes, at::kFloat),
                           5e-3, 5e-3, "fp32 to bf16");
    ExpectMatchesReference(Bind(RmsNorm, at::kFloat), Bind(RmsNormReference, at::kDouble), Inputs(sizes, at::kBFloat16),
                           1e-6, 5e-3, "bf16 to fp32");
  }
}

// The cast before the multiplication is observable: bf16 results equal the reference's but for ties of rounding.
TEST(RmsNorm, CastsBeforeTheWeight) {
  const Tensors x = Inputs({4, 50, 576}, at::kBFloat16, at::kBFloat16);
  const at::Tensor got = RmsNorm(x[0], x[1], kEps, at::kBFloat16),
                   want = RmsNormReference(x[0], x[1], kEps, at::kBFloat16);
  EXPECT_LT(got.ne(want).sum().item<double>() / got.numel(), 1e-4);
  const at::Tensor late =
      (RmsNormReference(x[0], at::ones({576}), kEps, at::kFloat) * x[1].to(at::kFloat)).to(at::kBFloat16);
  EXPECT_GT(got.ne(late).sum().item<double>() / got.numel(), 0.05);
}

TEST(RmsNorm, ReferenceGradientsMatchDifferences) {
  ExpectGradientsMatchDifferences(Bind(RmsNormReference, at::kDouble), Inputs({2, 3, 5}, at::kDouble), "[2,3,5]");
}

TEST(RmsNorm, SoloEqualsBatched) {
  const Tensors x = Inputs({3, 5, 100}, at::kFloat);
  const at::Tensor batched = RmsNorm(x[0], x[1], kEps, at::kFloat);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(BitwiseEqual(RmsNorm(x[0].narrow(0, row, 1), x[1], kEps, at::kFloat), batched.narrow(0, row, 1)));
  }
}

TEST(RmsNorm, StridedRowsAndFrozenInputs) {
  const Tensors x = Inputs({4, 6, 20}, at::kFloat);
  const at::Tensor want = RmsNorm(x[0], x[1], kEps, at::kFloat);
  const at::Tensor got = RmsNorm(x[0].transpose(0, 1), x[1], kEps, at::kFloat);
  EXPECT_TRUE(BitwiseEqual(got.transpose(0, 1).contiguous(), want));
  EXPECT_FALSE(got.requires_grad());
}

TEST(RmsNorm, ZeroRowsAreZeroWithFiniteGradient) {
  const OutputsAndGradients y = Differentiate(Bind(RmsNorm, at::kFloat), {at::zeros({2, 40}), at::ones({40})});
  EXPECT_FALSE(y.outputs[0].any().item<bool>());
  EXPECT_TRUE(at::isfinite(y.gradients[0]).all().item<bool>());
}

TEST(RmsNorm, NanStaysInItsRow) {
  at::Tensor x = RandomTensor({3, 40}, 1);
  x[1][39].fill_(NAN);
  const at::Tensor y = RmsNorm(x, at::ones({40}), kEps, at::kBFloat16);
  EXPECT_EQ(at::isnan(y).sum().item<int64_t>(), 40);
}

}  // namespace
}  // namespace radlads
