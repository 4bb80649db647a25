#include "kernels/token_shift/token_shift.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"
#include "kernels/token_shift/token_shift_reference.h"

namespace radlads {
namespace {

// Inputs: x, previous, reset, maa, amounts.
template <class F>
Operation Bind(const F& f) {
  return [=](const Tensors& x) -> Tensors { return f(x[0], x[1], x[2], x[3], x[4]); };
}

struct Case {
  int64_t batch, time, width, mixes;
  bool previous, reset, amounts;

  std::string Name() const {
    return Concatenate("B", batch, " T", time, " C", width, " N", mixes, previous ? " previous" : "",
                       reset ? " reset" : "", amounts ? " amounts" : "");
  }
  Tensors Inputs(at::ScalarType type, at::ScalarType parameter_type = at::kFloat) const {
    return {
        RandomTensor({batch, time, width}, 1, type), previous ? RandomTensor({batch, width}, 2, type) : at::Tensor(),
        reset ? RandomTensor({batch, time}, 3).gt(0.8) : at::Tensor(), RandomTensor({mixes, width}, 4, parameter_type),
        amounts ? RandomTensor({mixes, batch, time, width}, 5, type) : at::Tensor()};
  }
};

// Blocks of the backward pass end within sequences (T 33, 200), between them (T 1) and are single rows (T 5).
constexpr Case kCases[] = {
    {2, 33, 100, 5, true, true, true},  {3, 200, 40, 5, false, true, true}, {2, 33, 64, 5, false, false, true},
    {130, 1, 7, 5, true, true, true},   {1, 1, 1, 1, true, false, false},   {2, 5, 576, 1, false, false, false},
    {2, 200, 33, 1, true, true, false}, {4, 5, 16, 6, true, false, false},
};

TEST(TokenShift, Fp32MatchesDoubleReference) {
  for (const Case& c : kCases) {
    ExpectMatchesReference(Bind(TokenShift), Bind(TokenShiftReference), c.Inputs(at::kFloat), 1e-6, 2e-6, c.Name());
  }
}

TEST(TokenShift, Bf16MatchesReferenceOnTheSameValues) {
  for (const Case& c : kCases) {
    for (const at::ScalarType parameter_type : {at::kFloat, at::kBFloat16}) {
      ExpectMatchesReference(Bind(TokenShift), Bind(TokenShiftReference), c.Inputs(at::kBFloat16, parameter_type), 5e-3,
                             5e-3, Concatenate(c.Name(), " maa ", parameter_type));
    }
  }
}

TEST(TokenShift, ReferenceGradientsMatchDifferences) {
  const Case c = {2, 3, 4, 3, true, true, true};
  ExpectGradientsMatchDifferences(Bind(TokenShiftReference), c.Inputs(at::kDouble), c.Name());
}

TEST(TokenShift, SplitEqualsWhole) {
  const Tensors x = kCases[0].Inputs(at::kFloat);
  const Tensors whole = TokenShift(x[0], x[1], x[2], x[3], x[4]);
  for (int64_t cut : {1, 7, 32}) {
    const int64_t rest = 33 - cut;
    const Tensors head = TokenShift(x[0].narrow(1, 0, cut), x[1], x[2].narrow(1, 0, cut), x[3], x[4].narrow(2, 0, cut));
    const Tensors tail = TokenShift(x[0].narrow(1, cut, rest), x[0].select(1, cut - 1), x[2].narrow(1, cut, rest), x[3],
                                    x[4].narrow(2, cut, rest));
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_TRUE(BitwiseEqual(at::cat({head[i], tail[i]}, 1), whole[i])) << "mix " << i << " cut at " << cut;
    }
  }
}

TEST(TokenShift, SoloEqualsBatched) {
  const Tensors x = kCases[1].Inputs(at::kBFloat16);
  const Tensors batched = TokenShift(x[0], x[1], x[2], x[3], x[4]);
  for (int64_t row = 0; row < 3; ++row) {
    const Tensors solo =
        TokenShift(x[0].narrow(0, row, 1), at::Tensor(), x[2].narrow(0, row, 1), x[3], x[4].narrow(1, row, 1));
    for (size_t i = 0; i < solo.size(); ++i) {
      EXPECT_TRUE(BitwiseEqual(solo[i], batched[i].narrow(0, row, 1))) << "mix " << i << ", row " << row;
    }
  }
}

// Zero amounts leave the tokens as they are; amounts of one put the token before in their place.
TEST(TokenShift, ZeroIsTheIdentityAndOneIsTheTokenBefore) {
  const at::Tensor x = RandomTensor({1, 6, 20}, 1, at::kBFloat16), previous = RandomTensor({1, 20}, 2);
  const Tensors y = TokenShift(x, previous, at::Tensor(), at::stack({at::zeros({20}), at::ones({20})}), at::Tensor());
  EXPECT_TRUE(BitwiseEqual(y[0], x));
  EXPECT_TRUE(IsClose(y[1].narrow(1, 1, 5), x.narrow(1, 0, 5), 2e-3));
  EXPECT_TRUE(IsClose(y[1].select(1, 0), previous, 5e-3));
}

TEST(TokenShift, UnusedMixesGetNoGradientAndCostNone) {
  const Case c = {2, 9, 20, 5, true, false, true};
  auto some_of = [](auto f) {
    return [f](const Tensors& x) -> Tensors {
      const Tensors y = f(x[0], x[1], x[2], x[3], x[4]);
      return {y[1], y[3]};
    };
  };
  ExpectMatchesReference(some_of(TokenShift), some_of(TokenShiftReference), c.Inputs(at::kFloat), 1e-6, 2e-6, c.Name());
}

TEST(TokenShift, StridedAndFrozenInputs) {
  Tensors x = kCases[2].Inputs(at::kFloat);
  const Tensors want = TokenShift(x[0], x[1], x[2], x[3], x[4]);
  EXPECT_FALSE(want[0].requires_grad());
  const Tensors got = TokenShift(x[0].transpose(0, 2).contiguous().transpose(0, 2), x[1], x[2],
                                 x[3].t().contiguous().t(), x[4].transpose(0, 3).contiguous().transpose(0, 3));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(BitwiseEqual(got[i], want[i])) << "mix " << i;
}

TEST(TokenShift, NoTokensGiveNoTokensAndZeroGradients) {
  const Case c = {2, 0, 8, 5, true, true, true};
  const OutputsAndGradients y = Differentiate(Bind(TokenShift), c.Inputs(at::kFloat));
  ASSERT_EQ(y.outputs.size(), 5u);
  EXPECT_EQ(y.outputs[0].sizes(), at::IntArrayRef({2, 0, 8}));
  for (const int input : {1, 3}) EXPECT_FALSE(y.gradients[input].any().item<bool>()) << "gradient " << input;
}

TEST(TokenShift, NanReachesTheNextTokenButNoResetNorOtherRow) {
  Tensors x = Case{2, 6, 20, 2, false, true, true}.Inputs(at::kFloat);
  x[2].zero_();
  x[2][1][3] = true;
  x[0].select(1, 2).fill_(NAN);  // token 2 of both rows; row 1 is cut before token 3
  for (const at::Tensor& y : TokenShift(x[0], x[1], x[2], x[3], x[4])) {
    const at::Tensor bad = at::isnan(y).any(2);
    const at::Tensor want = at::zeros({2, 6}, at::kBool);
    want.select(1, 2).fill_(true);
    want[0][3] = true;
    EXPECT_TRUE(at::equal(bad, want)) << bad;
  }
}

TEST(TokenShiftDeathTest, ShapesAreChecked) {
  const at::Tensor x = at::zeros({2, 3, 4}), maa = at::zeros({5, 4}), none;
  EXPECT_DEATH(TokenShift(x, none, none, at::zeros({5, 3}), none), "maa \\[5, 3\\]");
  EXPECT_DEATH(TokenShift(x, at::zeros({4}), none, maa, none), "token before it");
  EXPECT_DEATH(TokenShift(x, none, at::zeros({2, 3}), maa, none), "reset");
  EXPECT_DEATH(TokenShift(x, none, none, maa, at::zeros({4, 2, 3, 4})), "amounts");
  EXPECT_DEATH(TokenShift(x, none, none, maa, at::zeros({5, 2, 3, 4}, at::kBFloat16)), "x's dtype");
}

}  // namespace
}  // namespace radlads
