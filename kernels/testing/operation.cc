#include "kernels/testing/operation.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/parallel_for.h"
#include "hwy/highway.h"
#include "kernels/testing/compare.h"

namespace radlads {

at::Tensor RandomTensor(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type) {
  // Drawn in double, so that the values of one seed agree across dtypes up to rounding.
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::TensorOptions().dtype(at::kDouble)).to(type);
}

Tensors ToType(const Tensors& tensors, at::ScalarType type) {
  Tensors result;
  for (const at::Tensor& x : tensors) {
    result.push_back(x.defined() && x.is_floating_point() ? x.to(type) : x);
  }
  return result;
}

OutputsAndGradients Differentiate(const Operation& operation, const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& x : inputs) {
    leaves.push_back(!x.defined() ? x : x.detach().clone().set_requires_grad(x.is_floating_point()));
  }
  OutputsAndGradients result;
  result.outputs = operation(leaves);
  at::Tensor total;
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    const at::Tensor& y = result.outputs[i];
    const at::Tensor weighted =
        (y.to(at::kDouble) * RandomTensor(y.sizes(), 1000 + i, at::kDouble).to(y.device())).sum();
    total = total.defined() ? total + weighted : weighted;
  }
  total.backward();
  for (const at::Tensor& x : leaves) result.gradients.push_back(x.defined() ? x.grad() : at::Tensor());
  return result;
}

void ForEachTarget(const std::function<void(const std::string& target)>& body) {
  const std::vector<int64_t> targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_FALSE(targets.empty()) << "nothing would be tested";
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
}

void ExpectMatchesReference(const Operation& operation, const Operation& reference, const Tensors& inputs,
                            double tolerance, double gradient_tolerance, const std::string& what, SumOrder order) {
  const OutputsAndGradients want = Differentiate(reference, ToType(inputs, at::kDouble));
  const int threads = Threads();
  ForEachTarget([&](const std::string& target) {
    SCOPED_TRACE(what + " on " + target);
    SetThreads(1);
    const OutputsAndGradients got = Differentiate(operation, inputs);
    SetThreads(3);
    const OutputsAndGradients again = Differentiate(operation, inputs);
    SetThreads(threads);
    ASSERT_EQ(got.outputs.size(), want.outputs.size());
    const auto expect_same_on_threads = [&](const at::Tensor& on_three, const at::Tensor& on_one, double tolerance) {
      EXPECT_TRUE(order == SumOrder::kFixed ? BitwiseEqual(on_three, on_one) : IsClose(on_three, on_one, tolerance))
          << "three threads";
    };
    for (size_t i = 0; i < got.outputs.size(); ++i) {
      EXPECT_TRUE(IsClose(got.outputs[i].detach(), want.outputs[i].detach(), tolerance)) << "output " << i;
      SCOPED_TRACE(testing::Message() << "output " << i);
      expect_same_on_threads(again.outputs[i].detach(), got.outputs[i].detach(), tolerance);
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!want.gradients[i].defined()) {
        // "No gradient" and "zero" mean the same.
        EXPECT_TRUE(!got.gradients[i].defined() || !got.gradients[i].any().item<bool>()) << "gradient " << i;
        continue;
      }
      ASSERT_TRUE(got.gradients[i].defined()) << "gradient " << i;
      EXPECT_EQ(got.gradients[i].scalar_type(), inputs[i].scalar_type()) << "gradient " << i;
      EXPECT_TRUE(IsClose(got.gradients[i], want.gradients[i], gradient_tolerance)) << "gradient " << i;
      SCOPED_TRACE(testing::Message() << "gradient " << i);
      expect_same_on_threads(again.gradients[i], got.gradients[i], gradient_tolerance);
    }
  });
}

void ExpectGradientsMatchDifferences(const Operation& operation, const Tensors& inputs, const std::string& what) {
  SCOPED_TRACE(what);
  Tensors points = ToType(inputs, at::kDouble);
  const OutputsAndGradients analytic = Differentiate(operation, points);
  auto value = [&] {
    double total = 0;
    const Tensors outputs = operation(points);
    for (size_t i = 0; i < outputs.size(); ++i) {
      total += (outputs[i] * RandomTensor(outputs[i].sizes(), 1000 + i, at::kDouble)).sum().item<double>();
    }
    return total;
  };
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!points[i].defined() || !points[i].is_floating_point() || !analytic.gradients[i].defined()) continue;
    points[i] = points[i].detach().contiguous().clone();
    double* x = points[i].mutable_data_ptr<double>();
    const at::Tensor gradient = analytic.gradients[i].contiguous();
    for (int64_t j = 0; j < points[i].numel(); ++j) {
      const double at = x[j];
      x[j] = at + kStep;
      const double above = value();
      x[j] = at - kStep;
      const double below = value();
      x[j] = at;
      const double want = (above - below) / (2 * kStep), got = gradient.const_data_ptr<double>()[j];
      ASSERT_NEAR(got, want, 1e-6 * std::max(1.0, std::abs(want))) << "input " << i << ", element " << j;
    }
  }
}

}  // namespace radlads
