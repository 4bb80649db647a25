// The torch operators wkv6 and wkv7: dtypes, strides, autograd.
#ifndef RADLADS_KERNELS_WKV_OPERATOR_TEST_H_
#define RADLADS_KERNELS_WKV_OPERATOR_TEST_H_

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "kernels/wkv/wkv_test.h"

namespace radlads {

template <typename Operation>
class WkvOperatorTest : public WkvTest<Operation> {};
TYPED_TEST_SUITE_P(WkvOperatorTest);

// The torch operator: autograd against the reference, for each dtype.
TYPED_TEST_P(WkvOperatorTest, OperatorGradients) {
  const WkvShape shape = {2, 37, 3, 16, 20};
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    SCOPED_TRACE(type);
    WkvData data = WithResets(WithState(TypeParam::Make(shape, 51))).To(type);
    if (type == at::kBFloat16) data.initial_state = data.initial_state.to(at::kFloat);
    const at::ScalarType out_type = type == at::kDouble ? at::kDouble : at::kFloat;
    const Tensor d_output = this->DOutput(shape).to(out_type), d_final_state = this->DFinalState(shape).to(out_type);
    WkvData exact = data.To(at::kDouble);
    const WkvResult want = RunReference<TypeParam>(exact);
    const std::vector<Tensor> want_gradients =
        RunReferenceBackward<TypeParam>(exact, d_output.to(at::kDouble), d_final_state.to(at::kDouble));

    // Strides of a transposed projection, as models make them.
    for (Tensor& tensor : data.inputs) {
      tensor = tensor.transpose(1, 2).contiguous().transpose(1, 2).detach().requires_grad_(true);
    }
    data.initial_state.requires_grad_(true);
    const auto [output, final_state] = TypeParam::Operator(data);
    EXPECT_EQ(output.scalar_type(), out_type);
    EXPECT_EQ(final_state.scalar_type(), out_type);
    EXPECT_TRUE(IsClose(output, want.output, this->kForwardTolerance));
    EXPECT_TRUE(IsClose(final_state, want.final_state, this->kForwardTolerance));
    std::vector<Tensor> leaves = data.inputs;
    leaves.push_back(data.initial_state);
    const std::vector<Tensor> gradients =
        torch::autograd::grad({output, final_state}, leaves, {d_output, d_final_state}, /*retain_graph=*/true);
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_EQ(gradients[i].scalar_type(), leaves[i].scalar_type());
      const bool rounded = leaves[i].scalar_type() == at::kBFloat16;
      EXPECT_TRUE(IsClose(gradients[i], want_gradients[i], rounded ? 4e-3 : this->kGradientTolerance)) << this->Name(i);
    }

    // One result used, its gradient broadcast: the other's is zero.
    const std::vector<Tensor> of_state = torch::autograd::grad({final_state.sum()}, leaves, {}, /*retain_graph=*/true);
    const std::vector<Tensor> want_of_state =
        RunReferenceBackward<TypeParam>(exact, {}, at::ones(StateSizes(shape), at::kDouble));
    const std::vector<Tensor> of_output = torch::autograd::grad({output.sum()}, leaves);
    const std::vector<Tensor> want_of_output =
        RunReferenceBackward<TypeParam>(exact, at::ones(ValueSizes(shape), at::kDouble), {});
    for (size_t i = 0; i < leaves.size(); ++i) {
      const bool rounded = leaves[i].scalar_type() == at::kBFloat16;
      EXPECT_TRUE(IsClose(of_state[i], want_of_state[i], rounded ? 4e-3 : this->kGradientTolerance)) << this->Name(i);
      EXPECT_TRUE(IsClose(of_output[i], want_of_output[i], rounded ? 4e-3 : this->kGradientTolerance)) << this->Name(i);
    }
  }
}

TYPED_TEST_P(WkvOperatorTest, OperatorWithSomeInputsRequiringGradients) {
  const WkvShape shape = {1, 20, 2, 8, 12};
  const WkvData plain = TypeParam::Make(shape, 52);
  const Tensor d_output = this->DOutput(shape);
  const std::vector<Tensor> want = RunReferenceBackward<TypeParam>(plain.To(at::kDouble), d_output.to(at::kDouble), {});
  for (size_t i = 0; i < plain.inputs.size(); ++i) {
    WkvData data = plain;
    data.inputs[i] = plain.inputs[i].detach().clone().requires_grad_(true);
    const Tensor output = TypeParam::Operator(data).first;
    EXPECT_TRUE(
        IsClose(torch::autograd::grad({output}, {data.inputs[i]}, {d_output})[0], want[i], this->kGradientTolerance))
        << this->Name(i);
    at::NoGradGuard no_grad;
    EXPECT_FALSE(TypeParam::Operator(data).first.requires_grad());
  }
  EXPECT_FALSE(TypeParam::Operator(plain).first.requires_grad());
}

REGISTER_TYPED_TEST_SUITE_P(WkvOperatorTest, OperatorGradients, OperatorWithSomeInputsRequiringGradients);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_OPERATOR_TEST_H_
