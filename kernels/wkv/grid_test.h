// wkv6 and wkv7 against the reference over shapes and decays, and the reference against complex steps.
#ifndef RADLADS_KERNELS_WKV_GRID_TEST_H_
#define RADLADS_KERNELS_WKV_GRID_TEST_H_

#include <complex>
#include <vector>

#include "kernels/wkv/wkv_test.h"

namespace radlads {

template <typename Operation>
class WkvGridTest : public WkvTest<Operation> {};
TYPED_TEST_SUITE_P(WkvGridTest);

TYPED_TEST_P(WkvGridTest, ReferenceGradientsMatchComplexStep) {
  using Complex = std::complex<double>;
  const WkvShape shape = {2, 7, 2, 3, 4};
  WkvData data = WithState(TypeParam::Make(shape, 1)).To(at::kDouble);
  data.reset = at::zeros({2, 7}, at::kByte);
  data.reset[0][4] = 1;
  data.reset[1][0] = 1;
  const Tensor d_output = this->DOutput(shape).to(at::kDouble),
               d_final_state = this->DFinalState(shape).to(at::kDouble);
  const std::vector<Tensor> gradients = RunReferenceBackward<TypeParam>(data, d_output, d_final_state);
  WkvData complex = data.To(at::kComplexDouble);
  constexpr double kStep = 1e-30;
  for (size_t i = 0; i < gradients.size(); ++i) {
    Tensor& tensor = i < complex.inputs.size() ? complex.inputs[i] : complex.initial_state;
    auto* elements = reinterpret_cast<Complex*>(tensor.mutable_data_ptr<c10::complex<double>>());
    Tensor want = at::empty_like(gradients[i]);
    for (int64_t j = 0; j < tensor.numel(); ++j) {
      elements[j] += Complex(0, kStep);
      const WkvResult result = RunReference<TypeParam>(complex);
      elements[j] = elements[j].real();
      want.mutable_data_ptr<double>()[j] =
          ((at::imag(result.output) * d_output).sum() + (at::imag(result.final_state) * d_final_state).sum())
              .template item<double>() /
          kStep;
    }
    EXPECT_TRUE(IsClose(gradients[i], want, 1e-12)) << "gradient of " << this->Name(i);
  }
}

TYPED_TEST_P(WkvGridTest, HeadSizesAndLengths) {
  uint64_t seed = 10;
  for (const auto& [K, V] : std::vector<std::pair<int64_t, int64_t>>{
           {32, 32}, {64, 64}, {96, 96}, {128, 128}, {64, 128}, {96, 32}, {5, 7}, {1, 1}, {33, 40}, {48, 130}}) {
    for (const int64_t time : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127}) {
      if (K * V > 5000 && time % 32 != 1 && time != 2) continue;  // the reference is slow
      WkvData data = TypeParam::Make({1, time, 3, K, V}, ++seed);
      if (seed % 2 == 0) data = WithState(data, seed + 1000);
      if (seed % 3 == 0) data = WithResets(data, seed + 2000);
      this->ExpectMatchesReference(data);
    }
  }
}

// Heads have data of their own, so that a mistaken stride shows.
TYPED_TEST_P(WkvGridTest, RowsAndHeads) {
  uint64_t seed = 300;
  for (const auto& [batch, heads] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 1}, {1, 3}, {2, 14}, {7, 19}, {32, 16}}) {
    this->ExpectMatchesReference(WithResets(WithState(TypeParam::Make({batch, 9, heads, 16, 20}, ++seed))));
  }
  this->ExpectMatchesReference(WithResets(WithState(TypeParam::Make({4, 33, 7, 64, 64}, ++seed))));
}

// The error of the recurrence in float grows with its length.
TYPED_TEST_P(WkvGridTest, LongSequences) {
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 3, 64, 64}, 5));
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 1, 128, 128}, 7));
  this->ExpectMatchesReference(WithState(TypeParam::Make({1, 1000, 2, 16, 24}, 8)));
  this->ExpectMatchesReference(WithResets(WithState(TypeParam::Make({2, 4097, 1, 16, 20}, 9))), /*looser=*/4);
}

TYPED_TEST_P(WkvGridTest, EmptyShapes) {
  for (const WkvShape& shape : {WkvShape{0, 3, 2, 4, 4}, WkvShape{2, 0, 2, 4, 4}, WkvShape{2, 3, 0, 4, 4},
                                WkvShape{2, 3, 2, 0, 4}, WkvShape{2, 3, 2, 4, 0}}) {
    this->ExpectMatchesReference(WithState(TypeParam::Make(shape, 1)));
  }
}

// From hardly any decay to what RWKV-7 and RAD-RWKV6 clamp at, and beyond: states in denormal numbers.
TYPED_TEST_P(WkvGridTest, SlowAndStrongDecay) {
  for (const double log_w : {-1e-4, -0.6065, -5.0, -80.0}) {
    WkvData data = WithState(TypeParam::Make({1, 512, 2, 32, 32}, 21));
    data.inputs[this->Index("log_w")].fill_(log_w);
    SCOPED_TRACE(log_w);
    this->ExpectMatchesReference(data);
  }
  WkvData data = WithState(TypeParam::Make({1, 130, 2, 32, 32}, 22));
  Tensor log_w = data.inputs[this->Index("log_w")];
  log_w.slice(1, 0, 130, 2).fill_(-5);
  log_w.slice(1, 1, 130, 2).fill_(0);
  this->ExpectMatchesReference(data);
}

// Not refused: the state grows.
TYPED_TEST_P(WkvGridTest, PositiveLogDecay) {
  WkvData data = WithState(TypeParam::Make({1, 40, 2, 32, 32}, 23));
  data.inputs[this->Index("log_w")].fill_(0.3);
  this->ExpectMatchesReference(data);
}

TYPED_TEST_P(WkvGridTest, LargeAndZeroValues) {
  WkvData data = WithState(TypeParam::Make({1, 70, 2, 32, 32}, 24));
  data.inputs[0].mul_(1e3);
  data.inputs[this->Index("k")].mul_(1e3);
  this->ExpectMatchesReference(data);

  data = WithState(TypeParam::Make({1, 70, 2, 32, 32}, 25));
  data.initial_state.mul_(1e18);
  this->ExpectMatchesReference(data);

  // What a normalised zero key is, for some tokens and some heads.
  data = WithState(TypeParam::Make({1, 70, 2, 32, 32}, 26));
  for (const char* name : {"k", "a", "b"}) {
    if (this->Index(name) == data.inputs.size()) continue;
    data.inputs[this->Index(name)].slice(1, 10, 20).zero_();
    data.inputs[this->Index(name)].select(2, 1).zero_();
  }
  this->ExpectMatchesReference(data);

  data = TypeParam::Make({1, 70, 2, 32, 32}, 27);
  for (const char* name : {"k", "v"}) data.inputs[this->Index(name)].mul_(1e-18);
  this->ExpectMatchesReference(data);
}

// The sum over the sequence of the gradient of log_w is the derivative for a shift common to all.
TYPED_TEST_P(WkvGridTest, DecayGradientMatchesDifferences) {
  const WkvShape shape = {2, 70, 2, 16, 24};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 28)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const auto loss = [&](double shift) {
    WkvData exact = data.To(at::kDouble);
    exact.inputs[this->Index("log_w")] += shift;
    const WkvResult result = RunReference<TypeParam>(exact);
    return ((result.output * d_output).sum() + (result.final_state * d_final_state).sum()).template item<double>();
  };
  const double want = (loss(1e-5) - loss(-1e-5)) / 2e-5;
  const Tensor d_log_w = RunFloat<TypeParam>(data, d_output, d_final_state).gradients[this->Index("log_w")];
  EXPECT_NEAR(d_log_w.sum(at::kDouble).template item<double>(), want,
              1e-5 * d_log_w.abs().sum(at::kDouble).template item<double>());
}

REGISTER_TYPED_TEST_SUITE_P(WkvGridTest, ReferenceGradientsMatchComplexStep, HeadSizesAndLengths, RowsAndHeads,
                            LongSequences, EmptyShapes, SlowAndStrongDecay, PositiveLogDecay, LargeAndZeroValues,
                            DecayGradientMatchesDifferences);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_GRID_TEST_H_
