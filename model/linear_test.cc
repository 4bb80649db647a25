#include "model/linear.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "kernels/testing/compare.h"

namespace radlads {
namespace {

constexpr int64_t kIn = 96, kOut = 50, kRows = 200;

std::shared_ptr<Linear> Filled(at::ScalarType dtype, bool with_bias) {
  torch::manual_seed(1);
  auto linear = std::make_shared<Linear>(kIn, kOut, with_bias);
  linear->to(dtype);
  torch::NoGradGuard no_grad;
  linear->weight.normal_(0, 0.1);
  if (with_bias) linear->bias.normal_();
  return linear;
}

WeightMatrix Quantized(WeightKind kind, const Tensor& weight) {
  const Tensor w = weight.detach().to(at::kFloat).contiguous();
  std::vector<uint8_t> blocks(w.size(0) * RowBytes(kind, w.size(1)));
  EXPECT_TRUE(Quantize(kind, w.const_data_ptr<float>(), w.size(0), w.size(1), blocks.data()).ok());
  return WeightMatrix::Pack(kind, w.size(0), w.size(1), blocks.data());
}

// What the rows of a batch give by themselves, at every size that decoding has.
void ExpectSoloEqualsBatched(const Linear& linear, const Tensor& x) {
  torch::NoGradGuard no_grad;
  const Tensor batched = linear.Forward(x);
  for (int64_t row = 0; row < x.size(0); ++row) {
    ASSERT_TRUE(BitwiseEqual(linear.Forward(x.narrow(0, row, 1)), batched.narrow(0, row, 1))) << "row " << row;
  }
}

TEST(Linear, SoloEqualsBatchedWhateverTheWeights) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Tensor x = torch::randn({kRows, kIn}).to(dtype);
    auto linear = Filled(dtype, true);
    linear->SetForInference();
    ExpectSoloEqualsBatched(*linear, x);
    for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
      linear = Filled(dtype, true);
      linear->SetPacked(Quantized(kind, linear->weight));
      ExpectSoloEqualsBatched(*linear, x);
    }
  }
}

TEST(Linear, InferenceMatchesTheProductThatLearns) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t rows : {1, 5, 64, 65}) {
      const auto linear = Filled(dtype, true);
      const Tensor x = torch::randn({rows, 1, kIn}).to(dtype);
      const Tensor learned = linear->Forward(x);
      EXPECT_TRUE(learned.requires_grad());
      torch::NoGradGuard no_grad;
      // Recomputation in the backward pass relies on it.
      EXPECT_TRUE(BitwiseEqual(linear->Forward(x), learned)) << dtype << ", " << rows << " rows";
      linear->SetForInference();
      const Tensor want =
          at::linear(x.to(at::kDouble), linear->Weight(dtype).to(at::kDouble), linear->bias.to(at::kDouble));
      const double tolerance = dtype == at::kFloat ? 1e-6 : 3e-3;
      EXPECT_TRUE(IsClose(linear->Forward(x), want, tolerance)) << dtype << ", " << rows << " rows";
      EXPECT_TRUE(IsClose(learned.detach(), want, tolerance)) << dtype << ", " << rows << " rows";
    }
  }
}

TEST(Project, SoloEqualsBatchedForInference) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    torch::NoGradGuard no_grad;
    Tensor one = torch::randn({kIn, 20}).to(dtype), stack = torch::randn({3, kIn, 20}).to(dtype);
    const Tensor x = torch::randn({3, kRows, kIn}).to(dtype);
    const Tensor learned_one = Project(x[0], one), learned_stack = Project(x, stack);
    for (Tensor* matrix : {&one, &stack}) {
      const Tensor numbers = matrix->clone();
      SetProjectionForInference(*matrix);
      EXPECT_TRUE(BitwiseEqual(matrix->contiguous(), numbers));
    }
    const double tolerance = dtype == at::kFloat ? 1e-6 : 3e-3;
    const Tensor whole_one = Project(x[0], one), whole_stack = Project(x, stack);
    EXPECT_TRUE(IsClose(whole_one, learned_one, tolerance)) << dtype;
    EXPECT_TRUE(IsClose(whole_stack, learned_stack, tolerance)) << dtype;
    for (int64_t row = 0; row < kRows; ++row) {
      ASSERT_TRUE(BitwiseEqual(Project(x[0].narrow(0, row, 1), one), whole_one.narrow(0, row, 1))) << row;
      ASSERT_TRUE(BitwiseEqual(Project(x.narrow(1, row, 1), stack), whole_stack.narrow(1, row, 1))) << row;
    }
  }
}

// A frozen layer below one that learns.
TEST(Linear, GradientsPassThroughAWeightForInference) {
  const auto linear = Filled(at::kBFloat16, true);
  linear->SetForInference();
  EXPECT_FALSE(linear->weight.requires_grad());
  const Tensor x = torch::randn({2, kIn}).to(at::kBFloat16).requires_grad_();
  linear->Forward(x).sum().backward();
  EXPECT_TRUE(IsClose(x.grad()[0], linear->weight.to(at::kFloat).sum(0), 1e-2));
}

TEST(Linear, PackedNumbersAreTheParametersOwn) {
  const auto linear = Filled(at::kFloat, true);
  torch::NoGradGuard no_grad;
  const Tensor weight = linear->weight.clone();
  linear->SetForInference();
  EXPECT_FALSE(linear->weight.defined());
  EXPECT_EQ(linear->parameters().size(), 1u);
  EXPECT_TRUE(BitwiseEqual(linear->Weight(at::kFloat), weight));
  const Tensor ids = torch::tensor({{3, 49, 0}, {3, 1, 2}});
  EXPECT_TRUE(BitwiseEqual(linear->Rows(ids), at::embedding(weight, ids)));
}

TEST(Linear, PackedWeightTakesThePlaceOfTheParameter) {
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    const auto linear = Filled(at::kFloat, true);
    const WeightMatrix weights = Quantized(kind, linear->weight);
    EXPECT_EQ(linear->parameters().size(), 2u);
    linear->SetPacked(weights);
    EXPECT_EQ(linear->parameters().size(), 1u);
    EXPECT_FALSE(linear->weight.defined());
    torch::NoGradGuard no_grad;
    const Tensor numbers = linear->Weight(at::kFloat);
    const Tensor x = torch::randn({2, 4, kIn});
    const Tensor want = at::linear(x.to(at::kDouble), numbers.to(at::kDouble), linear->bias.to(at::kDouble));
    EXPECT_TRUE(IsClose(linear->Forward(x), want, 1e-6));
    EXPECT_TRUE(IsClose(linear->Forward(x.to(at::kBFloat16), at::kFloat), want, 5e-3));
    EXPECT_EQ(linear->Forward(x.to(at::kBFloat16)).scalar_type(), at::kBFloat16);
    EXPECT_TRUE(BitwiseEqual(linear->Weight(at::kBFloat16), numbers.to(at::kBFloat16)));
    const Tensor ids = torch::tensor({{3, 49, 0}, {3, 1, 2}});
    EXPECT_TRUE(BitwiseEqual(linear->Rows(ids), at::embedding(numbers, ids)));
  }
}

TEST(Linear, RefusesGradientsThroughPackedWeights) {
  const auto linear = Filled(at::kFloat, false);
  linear->SetForInference();
  const Tensor x = torch::randn({2, kIn}).requires_grad_();
  try {
    linear->Forward(x);
    ADD_FAILURE() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("LoadTransformer"), std::string::npos) << error.what();
  }
}

TEST(Linear, RowsOfAParameterKeepTheirGradient) {
  const auto linear = Filled(at::kFloat, false);
  const Tensor rows = linear->Rows(torch::tensor({1, 1, 4}));
  rows.sum().backward();
  EXPECT_EQ(linear->weight.grad().sum(1)[1].item<float>(), 2 * kIn);
  EXPECT_EQ(linear->weight.grad().sum(1)[0].item<float>(), 0);
}

}  // namespace
}  // namespace radlads
