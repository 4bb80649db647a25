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

TYPED_TEST_P(WkvGridTest, FloatMatchesReference) {
  uint64_t seed = 10;
  for (const auto& [K, V] : std::vector<std::pair<int64_t, int64_t>>{
           {32, 32}, {64, 64}, {96, 96}, {128, 128}, {5, 7}, {1, 1}, {33, 40}, {48, 130}}) {
    for (const int64_t time : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127}) {
      if (K * V > 5000 && time % 32 != 1 && time != 2) continue;  // the reference is slow
      WkvData data = TypeParam::Make({1, time, 3, K, V}, ++seed);
      if (seed % 2 == 0) data = WithState(data, seed + 1000);
      if (seed % 3 == 0) data = WithResets(data, seed + 2000);
      this->ExpectMatchesReference(data);
    }
  }
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 3, 64, 64}, 5));
  this->ExpectMatchesReference(WithResets(WithState(TypeParam::Make({4, 33, 7, 64, 64}, 6))));
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 1, 128, 128}, 7));
}

TYPED_TEST_P(WkvGridTest, EmptyShapes) {
  for (const WkvShape& shape : {WkvShape{0, 3, 2, 4, 4}, WkvShape{2, 0, 2, 4, 4}, WkvShape{2, 3, 0, 4, 4},
                                WkvShape{2, 3, 2, 0, 4}, WkvShape{2, 3, 2, 4, 0}}) {
    this->ExpectMatchesReference(WithState(TypeParam::Make(shape, 1)));
  }
}

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

REGISTER_TYPED_TEST_SUITE_P(WkvGridTest, ReferenceGradientsMatchComplexStep, FloatMatchesReference, EmptyShapes,
                            SlowAndStrongDecay);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_GRID_TEST_H_
