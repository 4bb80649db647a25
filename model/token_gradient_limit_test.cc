#include "model/token_gradient_limit.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace radlads {
namespace {

at::Tensor GradientThrough(const at::Tensor& gradient, double limit) {
  at::Tensor x = torch::randn(gradient.sizes(), gradient.options()).requires_grad_();
  const at::Tensor y = LimitTokenGradient(x, limit);
  EXPECT_TRUE(at::equal(y, x));
  y.backward(gradient);
  return x.grad();
}

TEST(TokenGradientLimitTest, OnlyOutliersAreScaledDown) {
  torch::manual_seed(1);
  at::Tensor gradient = torch::randn({2, 6, 8});
  gradient = gradient / gradient.norm(2, -1, true);
  gradient[1][3] *= 1000;
  const at::Tensor limited = GradientThrough(gradient, 10);
  EXPECT_NEAR(limited[1][3].norm().item<double>(), 10, 1e-4);
  EXPECT_NEAR(at::cosine_similarity(limited[1][3], gradient[1][3], 0).item<double>(), 1, 1e-6);
  EXPECT_TRUE(at::equal(limited[0], gradient[0]));
  EXPECT_TRUE(at::equal(limited[1].narrow(0, 0, 3), gradient[1].narrow(0, 0, 3)));
}

TEST(TokenGradientLimitTest, NothingChangesWithoutOutliers) {
  torch::manual_seed(2);
  const at::Tensor gradient = torch::randn({1, 5, 64});
  EXPECT_TRUE(at::equal(GradientThrough(gradient, 10), gradient));
}

TEST(TokenGradientLimitTest, NotANumberIsNotHidden) {
  at::Tensor gradient = torch::ones({1, 4, 3});
  gradient[0][2][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(GradientThrough(gradient, 10).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace radlads
