#include "kernels/l2_distance/l2_distance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/l2_distance/l2_distance_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

// The target is an argument of the closure: it gets no gradient.
template <class F>
Operation Bind(const F& f, const at::Tensor& target) {
  return [=](const Tensors& x) -> Tensors {
    return {f(x[0].scalar_type() == at::kDouble ? target.to(at::kDouble) : target, x[0])};
  };
}

const std::vector<int64_t> kShapes[] = {{2, 5, 576}, {1, 1, 33}, {3, 50, 7}, {9, 1}, {64}};

TEST(L2Distance, MatchesDoubleReference) {
  for (const auto& sizes : kShapes) {
    for (const at::ScalarType target_type : {at::kFloat, at::kBFloat16}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const at::Tensor target = RandomTensor(sizes, 2, target_type);
        ExpectMatchesReference(Bind(L2Distance, target), Bind(L2DistanceReference, target),
                               {RandomTensor(sizes, 1, type)}, 1e-6, type == at::kFloat ? 1e-6 : 5e-3,
                               Concatenate(at::IntArrayRef(sizes), " ", target_type, " ", type));
      }
    }
  }
}

TEST(L2Distance, ReferenceGradientsMatchDifferences) {
  ExpectGradientsMatchDifferences(Bind(L2DistanceReference, RandomTensor({2, 3, 5}, 2, at::kDouble)),
                                  {RandomTensor({2, 3, 5}, 1, at::kDouble)}, "[2,3,5]");
}

TEST(L2Distance, EqualRowsHaveNoGradient) {
  const at::Tensor target = RandomTensor({3, 40}, 2);
  at::Tensor x = RandomTensor({3, 40}, 1);
  x[1].copy_(target[1]);
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const OutputsAndGradients y = Differentiate(Bind(L2Distance, target), {x.to(type)});
    EXPECT_FALSE(y.gradients[0][1].any().item<bool>());
    EXPECT_TRUE(y.gradients[0][0].any().item<bool>());
    EXPECT_TRUE(at::isfinite(y.gradients[0]).all().item<bool>());
  }
}

TEST(L2Distance, TargetGetsNoGradient) {
  const at::Tensor target = RandomTensor({3, 40}, 2).set_requires_grad(true), x = RandomTensor({3, 40}, 1);
  EXPECT_FALSE(L2Distance(target, x).requires_grad());
  EXPECT_FALSE(L2Distance(target.to(at::kDouble), x.to(at::kDouble)).requires_grad());
}

TEST(L2Distance, NanReachesTheLoss) {
  at::Tensor x = RandomTensor({3, 40}, 1);
  x[2][39].fill_(NAN);
  EXPECT_TRUE(std::isnan(L2Distance(RandomTensor({3, 40}, 2), x).item<float>()));
}

}  // namespace
}  // namespace radlads
