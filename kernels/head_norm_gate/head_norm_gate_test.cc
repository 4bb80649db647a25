#include "kernels/head_norm_gate/head_norm_gate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/head_norm_gate/head_norm_gate_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

struct Case {
  int64_t B, T, H, V;
  bool norms, gates, sigmoid;
};

const Case kCases[] = {{2, 5, 3, 64, true, true, true},    {1, 1, 2, 32, true, true, false},
                       {3, 4, 2, 128, true, false, false}, {2, 3, 5, 7, true, true, true},
                       {1, 90, 2, 33, false, true, true},  {2, 2, 3, 64, false, false, false}};

Tensors Inputs(const Case& c, at::ScalarType gate_type) {
  const int64_t A = c.H * c.V;
  Tensors x = {RandomTensor({c.B, c.T, c.H, c.V}, 1), RandomTensor({A}, 2), RandomTensor({A}, 3),
               RandomTensor({c.B, c.T, A}, 4, gate_type)};
  if (!c.norms) x[1] = x[2] = at::Tensor();
  if (!c.gates) x[3] = at::Tensor();
  return x;
}

template <class F>
Operation Bind(const F& f, const Case& c, at::ScalarType out) {
  return [=](const Tensors& x) -> Tensors {
    return {f(x[0], x[1], x[2], c.V * 1e-5, std::pow(c.V, -0.5), x[3], c.sigmoid, out)};
  };
}

std::string Describe(const Case& c) {
  return Concatenate("B=", c.B, " T=", c.T, " H=", c.H, " V=", c.V, c.norms ? " norms" : "", c.gates ? " gates" : "",
                     c.sigmoid ? " sigmoid" : "");
}

TEST(HeadNormGate, Fp32MatchesDoubleReference) {
  for (const Case& c : kCases) {
    ExpectMatchesReference(Bind(HeadNormGate, c, at::kFloat), Bind(HeadNormGateReference, c, at::kDouble),
                           Inputs(c, at::kFloat), 1e-6, 2e-6, Describe(c));
  }
}

TEST(HeadNormGate, Bf16MatchesReferenceOnTheSameValues) {
  for (const Case& c : kCases) {
    ExpectMatchesReference(Bind(HeadNormGate, c, at::kBFloat16), Bind(HeadNormGateReference, c, at::kDouble),
                           Inputs(c, at::kBFloat16), 5e-3, 5e-3, Describe(c));
    ExpectMatchesReference(Bind(HeadNormGate, c, at::kFloat), Bind(HeadNormGateReference, c, at::kDouble),
                           Inputs(c, at::kBFloat16), 1e-6, 5e-3, Describe(c));
    Tensors x = Inputs(c, at::kBFloat16);
    x[0] = x[0].to(at::kBFloat16);
    ExpectMatchesReference(Bind(HeadNormGate, c, at::kBFloat16), Bind(HeadNormGateReference, c, at::kDouble), x, 5e-3,
                           5e-3, Describe(c) + " bf16 o");
  }
}

TEST(HeadNormGate, ReferenceGradientsMatchDifferences) {
  for (const Case& c :
       {Case{1, 2, 2, 4, true, true, true}, Case{2, 1, 1, 5, true, true, false}, Case{1, 2, 2, 3, false, true, true}}) {
    ExpectGradientsMatchDifferences(Bind(HeadNormGateReference, c, at::kDouble), Inputs(c, at::kDouble), Describe(c));
  }
}

// ATen's own group norm says the same.
TEST(HeadNormGate, EqualsGroupNorm) {
  const Case c = {2, 3, 4, 32, true, false, false};
  const Tensors x = ToType(Inputs(c, at::kFloat), at::kDouble);
  const at::Tensor got = HeadNormGate(x[0], x[1], x[2], 3.2e-4, 1, {}, false, at::kDouble);
  const at::Tensor want = at::group_norm(x[0].reshape({6, 128}), 4, x[1], x[2], 3.2e-4).view({2, 3, 128});
  EXPECT_TRUE(IsClose(got, want, 1e-12));
}

TEST(HeadNormGate, SoloEqualsBatched) {
  for (const Case& c : kCases) {
    const Tensors x = Inputs(c, at::kFloat);
    const at::Tensor batched = Bind(HeadNormGate, c, at::kFloat)(x)[0];
    for (int64_t row = 0; row < c.B; ++row) {
      Tensors alone = x;
      alone[0] = x[0].narrow(0, row, 1);
      if (c.gates) alone[3] = x[3].narrow(0, row, 1);
      EXPECT_TRUE(BitwiseEqual(Bind(HeadNormGate, c, at::kFloat)(alone)[0], batched.narrow(0, row, 1))) << Describe(c);
    }
  }
}

TEST(HeadNormGate, NanStaysInItsHead) {
  const Case& c = kCases[0];
  Tensors x = Inputs(c, at::kFloat);
  x[0][1][2][1][5].fill_(NAN);
  const at::Tensor bad = at::isnan(Bind(HeadNormGate, c, at::kFloat)(x)[0]);
  EXPECT_EQ(bad.sum().item<int64_t>(), c.V);
  EXPECT_TRUE(bad[1][2].narrow(0, c.V, c.V).all().item<bool>());
}

TEST(HeadNormGate, FrozenInputsSaveNothing) {
  EXPECT_FALSE(Bind(HeadNormGate, kCases[0], at::kFloat)(Inputs(kCases[0], at::kFloat))[0].requires_grad());
}

}  // namespace
}  // namespace radlads
