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

// bfloat16 is read and written where it stands: the numbers are those of a float32 copy.
TYPED_TEST_P(WkvOperatorTest, Bfloat16IsFloatRounded) {
  for (const WkvShape& shape : {WkvShape{2, 70, 3, 20, 40}, WkvShape{2, 70, 3, 64, 64}}) {
    for (const bool float_decay : {true, false}) {
      WkvData narrow = WithResets(TypeParam::Make(shape, 54)).To(at::kBFloat16);
      if (float_decay) narrow.inputs[this->Index("log_w")] = narrow.inputs[this->Index("log_w")].to(at::kFloat);
      WkvData wide = narrow.To(at::kFloat);
      for (WkvData* data : {&narrow, &wide}) {
        for (Tensor& tensor : data->inputs) tensor.requires_grad_(true);
      }
      const Tensor d_output = this->DOutput(shape).to(at::kBFloat16), d_final_state = this->DFinalState(shape);
      const auto [want, want_state] = TypeParam::Operator(wide);
      const auto [got, got_state] = TypeParam::Operator(narrow, at::kBFloat16);
      EXPECT_EQ(got_state.scalar_type(), at::kFloat);
      EXPECT_TRUE(BitwiseEqual(got, want.to(at::kBFloat16)));
      EXPECT_TRUE(BitwiseEqual(got_state, want_state));
      const std::vector<Tensor> want_gradients =
          torch::autograd::grad({want, want_state}, wide.inputs, {d_output.to(at::kFloat), d_final_state});
      const std::vector<Tensor> gradients =
          torch::autograd::grad({got, got_state}, narrow.inputs, {d_output, d_final_state});
      for (size_t i = 0; i < gradients.size(); ++i) {
        EXPECT_TRUE(BitwiseEqual(gradients[i], want_gradients[i].to(narrow.inputs[i].scalar_type()))) << this->Name(i);
      }
    }
  }
}

TYPED_TEST_P(WkvOperatorTest, StridesDoNotMatter) {
  const WkvShape shape = {2, 40, 4, 20, 36};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const WkvData data = WithState(TypeParam::Make(shape, 55)).To(type);
    const auto [output, final_state] = TypeParam::Operator(data);
    const auto expect_same = [&](const WkvData& strided) {
      const auto [got, got_state] = TypeParam::Operator(strided);
      EXPECT_TRUE(BitwiseEqual(got, output));
      EXPECT_TRUE(BitwiseEqual(got_state, final_state));
    };
    WkvData strided = data;
    for (Tensor& tensor : strided.inputs) tensor = tensor.permute({2, 1, 0, 3}).contiguous().permute({2, 1, 0, 3});
    strided.initial_state = data.initial_state.transpose(2, 3).contiguous().transpose(2, 3);
    expect_same(strided);
    // Part of a wider projection; every other element; every other token.
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      const Tensor& x = data.inputs[i];
      strided.inputs[i] = at::cat({x + 1, x, x + 1}, 3).slice(3, x.size(3), 2 * x.size(3));
    }
    expect_same(strided);
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      strided.inputs[i] = at::stack({data.inputs[i], data.inputs[i] + 1}, 4).select(4, 0);
    }
    expect_same(strided);
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      strided.inputs[i] = at::stack({data.inputs[i], data.inputs[i] + 1}, 2).select(2, 0);
    }
    expect_same(strided);
  }
}

// Heads that share keys and values, as grouped-query attention has them: read where they stand, gradients summed.
TYPED_TEST_P(WkvOperatorTest, SharedHeads) {
  const int64_t groups = 2, shared = 3;
  const WkvShape shape = {2, 40, groups * shared, 64, 64};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    WkvData each = TypeParam::Make(shape, 56).To(type), expanded = each;
    std::vector<Tensor> copies, leaves;
    for (const char* name : {"k", "v"}) {
      const size_t i = this->Index(name);
      leaves.push_back(each.inputs[i].slice(2, 0, groups).detach().clone().requires_grad_(true));
      expanded.inputs[i] = leaves.back().unsqueeze(3).expand({-1, -1, -1, shared, -1}).flatten(2, 3);
      copies.push_back(expanded.inputs[i].detach().clone().requires_grad_(true));
      each.inputs[i] = copies.back();
    }
    const Tensor d_output = this->DOutput(shape);
    const Tensor want = TypeParam::Operator(each).first, got = TypeParam::Operator(expanded).first;
    EXPECT_TRUE(BitwiseEqual(got, want));
    const std::vector<Tensor> separate = torch::autograd::grad({want}, copies, {d_output});
    const std::vector<Tensor> summed = torch::autograd::grad({got}, leaves, {d_output});
    for (size_t i = 0; i < summed.size(); ++i) {
      EXPECT_TRUE(IsClose(summed[i], separate[i].to(at::kFloat).unflatten(2, {groups, shared}).sum(3),
                          type == at::kFloat ? 1e-6 : 5e-3));
    }
  }
  // All heads one: a stride of 0.
  WkvData one = TypeParam::Make(shape, 57);
  for (const char* name : {"k", "v"}) {
    Tensor& tensor = one.inputs[this->Index(name)];
    tensor = tensor.slice(2, 0, 1).expand(tensor.sizes());
  }
  WkvData copied = one;
  for (Tensor& tensor : copied.inputs) tensor = tensor.contiguous();
  EXPECT_TRUE(BitwiseEqual(TypeParam::Operator(one).first, TypeParam::Operator(copied).first));
}

TYPED_TEST_P(WkvOperatorTest, StepsEqualSequence) {
  const WkvShape shape = {2, 20, 3, 64, 64};
  const WkvData data = WithResets(TypeParam::Make(shape, 58).To(at::kBFloat16));
  const auto [output, final_state] = TypeParam::Operator(data, at::kBFloat16);
  Tensor state;
  std::vector<Tensor> outputs;
  for (int64_t t = 0; t < shape.time; ++t) {
    const auto [step, after] = TypeParam::Operator(data.Piece(t, t + 1, state), at::kBFloat16);
    outputs.push_back(step);
    state = after;
  }
  EXPECT_TRUE(BitwiseEqual(at::cat(outputs, 1), output));
  EXPECT_TRUE(BitwiseEqual(state, final_state));
}

// States of several megabytes, written past the caches.
TYPED_TEST_P(WkvOperatorTest, OneTokenOfManyRows) {
  const WkvShape shape = {32, 1, 9, 64, 64};
  const WkvData data = WithState(TypeParam::Make(shape, 59));
  for (const auto& [name, target] : InstructionSets()) {
    SCOPED_TRACE(name);
    const ScopedInstructionSet scoped(target);
    const auto [output, final_state] = TypeParam::Operator(data);
    for (int64_t row = 0; row < shape.batch; row += 7) {
      const auto [alone, state] = TypeParam::Operator(data.Row(row));
      EXPECT_TRUE(BitwiseEqual(output.slice(0, row, row + 1), alone));
      EXPECT_TRUE(BitwiseEqual(final_state.slice(0, row, row + 1), state));
    }
  }
}

// Only a state that is moved in and held by no one else is overwritten, and the result is the same.
TYPED_TEST_P(WkvOperatorTest, OverwritesStateThatIsMovedIn) {
  for (const WkvShape shape : {WkvShape{2, 1, 3, 64, 64}, WkvShape{32, 1, 9, 64, 64}, WkvShape{3, 40, 5, 64, 80}}) {
    const WkvData data = WithResets(WithState(TypeParam::Make(shape, 60)));
    const auto [output, final_state] = TypeParam::Operator(data);
    const auto expect_same = [&](const std::pair<Tensor, Tensor>& got) {
      EXPECT_TRUE(BitwiseEqual(got.first, output));
      EXPECT_TRUE(BitwiseEqual(got.second, final_state));
    };
    Tensor state = data.initial_state.clone();
    const void* memory = state.const_data_ptr();
    const auto moved = TypeParam::From(std::move(state), data);
    expect_same(moved);
    EXPECT_EQ(moved.second.const_data_ptr(), memory);

    const auto expect_kept = [&](Tensor kept, const char* why) {
      const Tensor other = kept;  // for those that are not held already
      expect_same(TypeParam::From(std::move(kept), data));
      EXPECT_TRUE(BitwiseEqual(other, data.initial_state)) << why;
    };
    expect_kept(data.initial_state.clone(), "held by another");
    Tensor holder = at::cat({data.initial_state, data.initial_state});
    expect_kept(holder.narrow(0, 0, shape.batch), "a view");
    Tensor foreign = data.initial_state.clone();
    expect_same(TypeParam::From(at::from_blob(foreign.mutable_data_ptr(), foreign.sizes()), data));
    EXPECT_TRUE(BitwiseEqual(foreign, data.initial_state)) << "memory of others";
    expect_same(TypeParam::From(data.initial_state.transpose(2, 3).contiguous().transpose(2, 3), data));
  }
  // What is differentiated keeps its state for the backward pass.
  const WkvShape shape = {2, 5, 3, 64, 64};
  WkvData data = WithState(TypeParam::Make(shape, 61));
  data.inputs[0].requires_grad_(true);
  Tensor state = data.initial_state.clone();
  const void* memory = state.const_data_ptr();
  const auto [output, final_state] = TypeParam::From(std::move(state), data);
  EXPECT_TRUE(output.requires_grad());
  EXPECT_NE(final_state.const_data_ptr(), memory);
}

REGISTER_TYPED_TEST_SUITE_P(WkvOperatorTest, OperatorGradients, OperatorWithSomeInputsRequiringGradients,
                            Bfloat16IsFloatRounded, StridesDoNotMatter, SharedHeads, StepsEqualSequence,
                            OneTokenOfManyRows, OverwritesStateThatIsMovedIn);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_OPERATOR_TEST_H_
