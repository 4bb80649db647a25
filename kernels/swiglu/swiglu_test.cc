#include "kernels/swiglu/swiglu.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/swiglu/swiglu_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

template <class F>
Operation Bind(const F& f) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], x[1])}; };
}

Tensors Inputs(at::IntArrayRef sizes, at::ScalarType type) {
  return {RandomTensor(sizes, 1, type).mul(3), RandomTensor(sizes, 2, type)};
}

const std::vector<int64_t> kShapes[] = {{2, 5, 1536}, {1, 1, 33}, {3, 7, 5}, {1}, {20000}};

TEST(SwiGlu, Fp32MatchesDoubleReference) {
  for (const auto& sizes : kShapes) {
    ExpectMatchesReference(Bind(SwiGlu), Bind(SwiGluReference), Inputs(sizes, at::kFloat), 1e-6, 1e-6,
                           Concatenate(at::IntArrayRef(sizes)));
  }
}

TEST(SwiGlu, Bf16MatchesReferenceOnTheSameValues) {
  for (const auto& sizes : kShapes) {
    ExpectMatchesReference(Bind(SwiGlu), Bind(SwiGluReference), Inputs(sizes, at::kBFloat16), 5e-3, 5e-3,
                           Concatenate(at::IntArrayRef(sizes)));
  }
}

TEST(SwiGlu, ReferenceGradientsMatchDifferences) {
  ExpectGradientsMatchDifferences(Bind(SwiGluReference), Inputs({3, 5}, at::kDouble), "[3,5]");
}

TEST(SwiGlu, ExtremesAreRight) {
  const at::Tensor gate = at::tensor({-1e4f, -100.0f, 0.0f, 100.0f, 1e4f, NAN});
  const at::Tensor y = SwiGlu(gate, at::ones({6}));
  EXPECT_NEAR(y[0].item<float>(), 0, 1e-30);
  EXPECT_NEAR(y[1].item<float>(), 0, 1e-30);
  EXPECT_EQ(y[2].item<float>(), 0);
  EXPECT_EQ(y[3].item<float>(), 100);
  EXPECT_EQ(y[4].item<float>(), 1e4f);
  EXPECT_TRUE(std::isnan(y[5].item<float>()));
}

TEST(SwiGlu, SoloEqualsBatchedAndStridedEqualsContiguous) {
  const Tensors x = Inputs({3, 5, 37}, at::kFloat);
  const at::Tensor batched = SwiGlu(x[0], x[1]);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(BitwiseEqual(SwiGlu(x[0].narrow(0, row, 1), x[1].narrow(0, row, 1)), batched.narrow(0, row, 1)));
  }
  const at::Tensor strided = SwiGlu(x[0].transpose(0, 2), x[1].transpose(0, 2));
  EXPECT_TRUE(BitwiseEqual(strided.transpose(0, 2).contiguous(), batched));
  EXPECT_FALSE(batched.requires_grad());
}

}  // namespace
}  // namespace radlads
