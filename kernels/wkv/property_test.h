// What must hold of wkv6 and wkv7 whatever the numbers: cuts, batches, threads and resets change nothing; what comes
// later has no influence; a bad number stays where it is.
#ifndef RADLADS_KERNELS_WKV_PROPERTY_TEST_H_
#define RADLADS_KERNELS_WKV_PROPERTY_TEST_H_

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/wkv/wkv_test.h"

namespace radlads {

template <typename Operation>
class WkvPropertyTest : public WkvTest<Operation> {};
TYPED_TEST_SUITE_P(WkvPropertyTest);

// split == whole.
TYPED_TEST_P(WkvPropertyTest, SplitEqualsWhole) {
  const WkvShape shape = {2, 75, 3, 20, 36};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 31)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const WkvRunResult whole = RunFloat<TypeParam>(data, d_output, d_final_state);
  for (const int64_t cut : {1, 16, 31, 32, 33, 50, 74}) {
    SCOPED_TRACE(cut);
    const WkvData head = data.Piece(0, cut, data.initial_state);
    const WkvResult first = RunForward<TypeParam>(head);
    const WkvData tail = data.Piece(cut, shape.time, first.final_state);
    const WkvRunResult second = RunFloat<TypeParam>(tail, d_output.slice(1, cut).contiguous(), d_final_state);
    const std::vector<Tensor> first_gradients = RunBackward<TypeParam>(
        head, first.checkpoints, d_output.slice(1, 0, cut).contiguous(), second.gradients.back());
    EXPECT_TRUE(BitwiseEqual(at::cat({first.output, second.forward.output}, 1), whole.forward.output));
    EXPECT_TRUE(BitwiseEqual(second.forward.final_state, whole.forward.final_state));
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(IsClose(at::cat({first_gradients[i], second.gradients[i]}, 1), whole.gradients[i], 1e-6))
          << this->Name(i);
    }
    EXPECT_TRUE(IsClose(first_gradients.back(), whole.gradients.back(), 1e-6));
  }
}

// One token at a time, as in decoding.
TYPED_TEST_P(WkvPropertyTest, StepsEqualSequence) {
  for (const WkvShape& shape : {WkvShape{2, 40, 3, 33, 40}, WkvShape{2, 20, 3, 64, 64}, WkvShape{1, 20, 5, 30, 96}}) {
    const WkvData data = WithResets(TypeParam::Make(shape, 32));
    for (const auto& [name, target] : InstructionSets()) {
      SCOPED_TRACE(name);
      const ScopedInstructionSet scoped(target);
      const WkvResult whole = RunForward<TypeParam>(data);
      Tensor state;
      std::vector<Tensor> outputs;
      for (int64_t t = 0; t < shape.time; ++t) {
        const WkvResult step = RunForward<TypeParam>(data.Piece(t, t + 1, state), /*keep_checkpoints=*/false);
        state = step.final_state;
        outputs.push_back(step.output);
      }
      EXPECT_TRUE(BitwiseEqual(at::cat(outputs, 1), whole.output));
      EXPECT_TRUE(BitwiseEqual(state, whole.final_state));
    }
  }
}

TYPED_TEST_P(WkvPropertyTest, CheckpointsDoNotMatter) {
  for (const int64_t time : {1, 33, 64}) {
    const WkvData data = WithResets(WithState(TypeParam::Make({2, time, 3, 64, 64}, 42)));
    const WkvResult with = RunForward<TypeParam>(data), without = RunForward<TypeParam>(data, false);
    EXPECT_TRUE(BitwiseEqual(without.output, with.output));
    EXPECT_TRUE(BitwiseEqual(without.final_state, with.final_state));
  }
}

// packed == alone.
TYPED_TEST_P(WkvPropertyTest, ResetEqualsSeparateCalls) {
  const WkvShape shape = {1, 70, 2, 16, 40};
  WkvData data = WithState(TypeParam::Make(shape, 33));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  for (const int64_t cut : {0, 1, 20, 32, 33, 64, 69}) {
    SCOPED_TRACE(cut);
    data.reset = at::zeros({1, shape.time}, at::kBool);
    data.reset[0][cut] = true;
    const WkvRunResult whole = RunFloat<TypeParam>(data, d_output, d_final_state);
    WkvData head = data.Piece(0, cut, data.initial_state), tail = data.Piece(cut, shape.time, {});
    head.reset = tail.reset = Tensor();
    const WkvRunResult second = RunFloat<TypeParam>(tail, d_output.slice(1, cut).contiguous(), d_final_state);
    const WkvRunResult first = RunFloat<TypeParam>(head, d_output.slice(1, 0, cut).contiguous(), {});
    EXPECT_TRUE(BitwiseEqual(at::cat({first.forward.output, second.forward.output}, 1), whole.forward.output));
    EXPECT_TRUE(BitwiseEqual(second.forward.final_state, whole.forward.final_state));
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(IsClose(at::cat({first.gradients[i], second.gradients[i]}, 1), whole.gradients[i], 1e-6))
          << this->Name(i);
    }
    // Nothing that comes after the cut reaches what is before it.
    Tensor d_late = d_output.clone();
    d_late.slice(1, 0, cut).zero_();
    const WkvRunResult late = RunFloat<TypeParam>(data, d_late, d_final_state);
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(late.gradients[i].slice(1, 0, cut).eq(0).all().template item<bool>()) << this->Name(i);
    }
    EXPECT_TRUE(late.gradients.back().eq(0).all().template item<bool>());
  }
}

TYPED_TEST_P(WkvPropertyTest, DecayToZeroForgets) {
  const WkvShape shape = {1, 40, 2, 16, 16};
  WkvData data = WithState(TypeParam::Make(shape, 34)), other = WithState(TypeParam::Make(shape, 35));
  // Without the delta term, which would read the old state.
  for (const char* name : {"a", "b"}) {
    if (this->Index(name) < data.inputs.size()) data.inputs[this->Index(name)].select(1, 20).zero_();
  }
  data.inputs[this->Index("log_w")].select(1, 20).fill_(-std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < data.inputs.size(); ++i) other.inputs[i].slice(1, 20).copy_(data.inputs[i].slice(1, 20));
  Tensor d_late = this->DOutput(shape);
  d_late.slice(1, 0, 20).zero_();
  const WkvRunResult x = RunFloat<TypeParam>(data, d_late, {}), y = RunFloat<TypeParam>(other, d_late, {});
  EXPECT_TRUE(BitwiseEqual(x.forward.output.slice(1, 20), y.forward.output.slice(1, 20)));
  const WkvResult alone = RunForward<TypeParam>(data.Piece(20, 40, {}));
  EXPECT_TRUE(BitwiseEqual(x.forward.output.slice(1, 20), alone.output));
  EXPECT_TRUE(BitwiseEqual(x.forward.final_state, alone.final_state));
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    EXPECT_TRUE(x.gradients[i].isfinite().all().template item<bool>()) << this->Name(i);
    EXPECT_TRUE(x.gradients[i].slice(1, 0, 20).eq(0).all().template item<bool>()) << this->Name(i);
  }
  EXPECT_TRUE(x.gradients.back().eq(0).all().template item<bool>());

  // As good as zero.
  data.inputs[this->Index("log_w")].select(1, 20).fill_(-80);
  EXPECT_TRUE(IsClose(RunForward<TypeParam>(data).output.slice(1, 20), alone.output, 1e-7));
}

TYPED_TEST_P(WkvPropertyTest, Causality) {
  const WkvShape shape = {1, 70, 2, 16, 40};
  const WkvData data = WithState(TypeParam::Make(shape, 36));
  const Tensor output = RunForward<TypeParam>(data).output;
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    WkvData changed = data;
    changed.inputs[i] = data.inputs[i].clone();
    changed.inputs[i].select(1, 40).mul_(1.5);
    const Tensor other = RunForward<TypeParam>(changed).output;
    EXPECT_TRUE(BitwiseEqual(other.slice(1, 0, 40), output.slice(1, 0, 40))) << this->Name(i);
    EXPECT_FALSE(BitwiseEqual(other.slice(1, 40), output.slice(1, 40))) << this->Name(i) << " has no effect";
  }
  Tensor d_early = this->DOutput(shape);
  d_early.slice(1, 41).zero_();
  const std::vector<Tensor> gradients = RunFloat<TypeParam>(data, d_early, {}).gradients;
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    EXPECT_TRUE(gradients[i].slice(1, 41).eq(0).all().template item<bool>()) << this->Name(i);
  }
}

// solo == batched.
TYPED_TEST_P(WkvPropertyTest, SoloEqualsBatched) {
  const WkvShape shape = {3, 70, 3, 64, 64};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 37)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const ScopedThreads scoped(2);
  const WkvRunResult batch = RunFloat<TypeParam>(data, d_output, d_final_state);
  for (int64_t row = 0; row < shape.batch; ++row) {
    const auto pick = [&](const Tensor& tensor) { return tensor.slice(0, row, row + 1).contiguous(); };
    const WkvRunResult solo = RunFloat<TypeParam>(data.Row(row), pick(d_output), pick(d_final_state));
    WkvRunResult want = {{pick(batch.forward.output), pick(batch.forward.final_state), {}}, {}};
    for (const Tensor& gradient : batch.gradients) want.gradients.push_back(pick(gradient));
    this->ExpectBitwiseEqual(solo, want);
  }
}

TYPED_TEST_P(WkvPropertyTest, OrderOfRowsAndHeadsDoesNotMatter) {
  const WkvShape shape = {3, 40, 5, 16, 40};
  const WkvData data = WithState(TypeParam::Make(shape, 43));
  const Tensor rows = at::tensor({2, 0, 1}), heads = at::tensor({3, 1, 4, 0, 2});
  // Heads stand third in sequences, second in states.
  const auto permuted = [&](const Tensor& tensor, int64_t head_dimension) {
    return tensor.index_select(0, rows).index_select(head_dimension, heads);
  };
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const WkvRunResult plain = RunFloat<TypeParam>(data, d_output, d_final_state);
  WkvData other = data;
  for (Tensor& tensor : other.inputs) tensor = permuted(tensor, 2);
  other.initial_state = permuted(data.initial_state, 1);
  WkvRunResult want = {{permuted(plain.forward.output, 2), permuted(plain.forward.final_state, 1), {}}, {}};
  for (size_t i = 0; i < data.inputs.size(); ++i) want.gradients.push_back(permuted(plain.gradients[i], 2));
  want.gradients.push_back(permuted(plain.gradients.back(), 1));
  this->ExpectBitwiseEqual(RunFloat<TypeParam>(other, permuted(d_output, 2), permuted(d_final_state, 1)), want);
}

TYPED_TEST_P(WkvPropertyTest, ThreadsDoNotMatter) {
  const WkvShape shape = {1, 70, 9, 64, 100};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 38)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  WkvRunResult want;
  {
    const ScopedThreads scoped(1);
    want = RunFloat<TypeParam>(data, d_output, d_final_state);
  }
  for (const int threads : {1, 2, 4, 7, 16}) {
    SCOPED_TRACE(threads);
    const ScopedThreads scoped(threads);
    this->ExpectBitwiseEqual(RunFloat<TypeParam>(data, d_output, d_final_state), want);
  }
}

// What a slice computes does not depend on how many there are.
TYPED_TEST_P(WkvPropertyTest, ValueColumnsAreIndependent) {
  const WkvShape shape = {1, 40, 2, 24, 96};
  const WkvData data = TypeParam::Make(shape, 39);
  const Tensor whole = RunForward<TypeParam>(data).output;
  for (const auto& [begin, end] : std::vector<std::pair<int64_t, int64_t>>{{0, 64}, {32, 96}, {5, 9}, {31, 33}}) {
    WkvData part = data;
    Tensor& v = part.inputs[this->Index("v")];
    v = v.slice(3, begin, end).contiguous();
    part.shape.value_dim = end - begin;
    EXPECT_TRUE(BitwiseEqual(RunForward<TypeParam>(part).output, whole.slice(3, begin, end)));
  }
}

TYPED_TEST_P(WkvPropertyTest, NanStaysInItsHeadAndDocument) {
  const WkvShape shape = {2, 80, 3, 20, 36};
  for (const double poison : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (size_t i = 0; i < TypeParam::kNames.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << poison << " in " << this->Name(i));
      WkvData data = TypeParam::Make(shape, 40);
      data.reset = at::zeros({2, 80}, at::kBool);
      data.reset[1][60] = true;
      data.inputs[i][1][40][2][3] = poison;
      const WkvRunResult result = RunFloat<TypeParam>(data, this->DOutput(shape), this->DFinalState(shape));
      Tensor finite = result.forward.output.isfinite();
      if (std::isnan(poison)) {
        EXPECT_FALSE(finite[1][40][2].all().template item<bool>()) << "the token itself";
        // What one query reads leaves no trace in the state.
        if (i > 0) {
          EXPECT_FALSE(finite[1].select(1, 2).slice(0, 40, 60).any(0).all().template item<bool>());
        }
      }
      finite[1].select(1, 2).slice(0, 40, 60).fill_(true);
      EXPECT_TRUE(finite.all().template item<bool>()) << "another head, an earlier token or the next document";
      EXPECT_TRUE(result.forward.final_state.isfinite().all().template item<bool>());
      for (size_t j = 0; j < data.inputs.size(); ++j) {
        Tensor finite_gradient = result.gradients[j].isfinite();
        finite_gradient[1].select(1, 2).slice(0, 0, 60).fill_(true);
        EXPECT_TRUE(finite_gradient.all().template item<bool>()) << "gradient of " << this->Name(j);
      }
    }
  }
}

// A decay beyond the range of float makes infinities, in its head and from its token on.
TYPED_TEST_P(WkvPropertyTest, HugeLogDecayStaysInItsHead) {
  const WkvShape shape = {2, 50, 2, 16, 20};
  WkvData data = TypeParam::Make(shape, 44);
  data.inputs[this->Index("log_w")][1][20][0].fill_(100);
  const WkvRunResult result = RunFloat<TypeParam>(data, this->DOutput(shape), this->DFinalState(shape));
  Tensor finite = result.forward.output.isfinite();
  EXPECT_FALSE(finite[1].select(1, 0).slice(0, 20).any().template item<bool>());
  finite[1].select(1, 0).slice(0, 20).fill_(true);
  EXPECT_TRUE(finite.all().template item<bool>()) << "another head or an earlier token";
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    Tensor finite_gradient = result.gradients[i].isfinite();
    finite_gradient[1].select(1, 0).fill_(true);
    EXPECT_TRUE(finite_gradient.all().template item<bool>()) << "gradient of " << this->Name(i);
  }
}

// The output is linear in r or q (exactly, for a power of two), in v without a state, and in v and the state together.
TYPED_TEST_P(WkvPropertyTest, Linearity) {
  const WkvShape shape = {1, 50, 2, 16, 24};
  const WkvData data = TypeParam::Make(shape, 45);
  const WkvResult plain = RunForward<TypeParam>(data);
  WkvData twice = data;
  twice.inputs[0] = 2 * data.inputs[0];
  EXPECT_TRUE(BitwiseEqual(RunForward<TypeParam>(twice).output, 2 * plain.output));
  twice = data;
  twice.scale = 2 * data.scale;
  EXPECT_TRUE(BitwiseEqual(RunForward<TypeParam>(twice).output, 2 * plain.output));

  const size_t v = this->Index("v");
  const WkvData x = WithState(data, 1);
  WkvData y = WithState(data, 2), sum = x;
  y.inputs[v] = Normal(ValueSizes(shape), 46);
  sum.inputs[v] = x.inputs[v] - 3 * y.inputs[v];
  sum.initial_state = x.initial_state - 3 * y.initial_state;
  const WkvResult of_x = RunForward<TypeParam>(x), of_y = RunForward<TypeParam>(y), of_sum = RunForward<TypeParam>(sum);
  EXPECT_TRUE(IsClose(of_sum.output, of_x.output - 3 * of_y.output, 1e-5));
  EXPECT_TRUE(IsClose(of_sum.final_state, of_x.final_state - 3 * of_y.final_state, 1e-5));
}

// w = 1 and no delta term: causal linear attention.
TYPED_TEST_P(WkvPropertyTest, NoDecayIsLinearAttention) {
  WkvData data = TypeParam::Make({1, 50, 2, 16, 24}, 41);
  data.inputs[this->Index("log_w")].zero_();
  for (const char* name : {"a", "b"}) {
    if (this->Index(name) < data.inputs.size()) data.inputs[this->Index(name)].zero_();
  }
  const auto heads_first = [&](size_t i) { return data.inputs[i].to(at::kDouble).transpose(1, 2); };
  const Tensor scores = at::matmul(heads_first(0), heads_first(this->Index("k")).transpose(2, 3)).tril();
  const Tensor want = data.scale * at::matmul(scores, heads_first(this->Index("v"))).transpose(1, 2);
  EXPECT_TRUE(IsClose(RunForward<TypeParam>(data).output, want, 1e-6));
}

REGISTER_TYPED_TEST_SUITE_P(WkvPropertyTest, SplitEqualsWhole, StepsEqualSequence, CheckpointsDoNotMatter,
                            ResetEqualsSeparateCalls, DecayToZeroForgets, Causality, SoloEqualsBatched,
                            OrderOfRowsAndHeadsDoesNotMatter, ThreadsDoNotMatter, ValueColumnsAreIndependent,
                            NanStaysInItsHeadAndDocument, HugeLogDecayStaysInItsHead, Linearity,
                            NoDecayIsLinearAttention);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_PROPERTY_TEST_H_
