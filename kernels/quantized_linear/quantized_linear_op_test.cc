#include "kernels/quantized_linear/quantized_linear_op.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

WeightMatrix Packed(WeightKind kind, const at::Tensor& w) {
  std::vector<uint8_t> blocks(w.size(0) * RowBytes(kind, w.size(1)));
  EXPECT_TRUE(Quantize(kind, w.const_data_ptr<float>(), w.size(0), w.size(1), blocks.data()).ok());
  return WeightMatrix::Pack(kind, w.size(0), w.size(1), blocks.data());
}

at::Tensor Numbers(const WeightMatrix& w) {
  at::Tensor numbers = at::empty({w.out(), w.in()});
  w.Read(0, w.out(), numbers.mutable_data_ptr(), false);
  return numbers;
}

void ExpectThrows(const std::function<void()>& run, const std::string& message) {
  try {
    run();
    ADD_FAILURE() << "nothing thrown, expected: " << message;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(QuantizedLinearOp, TakesAnyShapeStridesAndDtypes) {
  const at::Tensor bias = RandomTensor({50}, 3);
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    const WeightMatrix w = Packed(kind, RandomTensor({50, 70}, 1));
    const at::Tensor numbers = Numbers(w).to(at::kDouble);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = RandomTensor({3, 2, 70}, 2, type);
      const at::Tensor want = at::linear(x.to(at::kDouble), numbers, bias.to(at::kDouble));
      EXPECT_TRUE(IsClose(QuantizedLinear(x, w, bias, at::kFloat), want, 1e-5));
      EXPECT_TRUE(IsClose(QuantizedLinear(x, w, bias, at::kBFloat16), want, 3e-3));
      const at::Tensor strided = x.transpose(0, 1);
      EXPECT_TRUE(IsClose(QuantizedLinear(strided, w, bias, at::kFloat), want.transpose(0, 1), 1e-5));
      const at::Tensor one = QuantizedLinear(x[1][1], w, at::Tensor(), at::kFloat);
      EXPECT_TRUE(IsClose(one, want[1][1] - bias, 1e-4));
      EXPECT_EQ(QuantizedLinear(x.slice(0, 0, 0), w, bias, at::kFloat).sizes(), (at::IntArrayRef{0, 2, 50}));
    }
  }
}

TEST(QuantizedLinearOp, RefusesGradientsAndWrongArguments) {
  const WeightMatrix w = Packed(WeightKind::kQ4, RandomTensor({4, 32}, 1));
  at::Tensor x = RandomTensor({2, 32}, 2);
  ExpectThrows([&] { QuantizedLinear(x.slice(1, 0, 31), w, {}, at::kFloat); }, "x is [2, 31], the weight [4, 32]");
  ExpectThrows([&] { QuantizedLinear(x, w, RandomTensor({5}, 1), at::kFloat); }, "the bias is [5] for 4 outputs");
  ExpectThrows([&] { QuantizedLinear(x.to(at::kDouble), w, {}, at::kFloat); }, "fp32 and bf16");
  x.requires_grad_();
  ExpectThrows([&] { QuantizedLinear(x, w, {}, at::kFloat); }, "no gradient");
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(QuantizedLinear(x, w, {}, at::kFloat).requires_grad());
}

}  // namespace
}  // namespace radlads
