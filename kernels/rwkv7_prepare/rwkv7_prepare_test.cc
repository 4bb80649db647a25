#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

struct Case {
  int64_t B, T, H, KV, D;
  bool mixes, balance, rotates, tables_per_batch;
};

std::string Describe(const Case& c) {
  return Concatenate("B=", c.B, " T=", c.T, " H=", c.H, " KV=", c.KV, " D=", c.D, c.mixes ? " mixes" : "",
                     c.balance ? " balance" : "", c.rotates ? " rotates" : "",
                     c.tables_per_batch ? " tables per batch" : "");
}

const Case kCases[] = {
    {2, 5, 4, 2, 64, true, false, true, false},   {2, 5, 4, 2, 64, true, true, true, true},
    {1, 1, 3, 1, 32, false, false, true, false},  {3, 7, 2, 2, 128, true, false, false, false},
    {2, 3, 6, 2, 10, true, false, true, true},    {1, 70, 3, 3, 32, false, true, false, false},
    {1, 130, 2, 1, 64, true, false, true, false}, {2, 2, 1, 1, 7, true, true, false, false},
};

// q k v w a v_mix v_first w0 a0 v0 k_k k_a; logits of type `type`, the rest fp32.
Tensors Inputs(const Case& c, at::ScalarType type) {
  const int64_t A = c.H * c.D;
  uint64_t seed = 1;
  auto draw = [&](at::IntArrayRef sizes, at::ScalarType t) { return RandomTensor(sizes, seed++, t); };
  Tensors x = {draw({c.B, c.T, c.H, c.D}, type),
               draw({c.B, c.T, c.KV, c.D}, type),
               draw({c.B, c.T, c.KV, c.D}, type),
               draw({c.B, c.T, A}, type),
               draw({c.B, c.T, A}, type),
               draw({c.B, c.T, A}, type),
               draw({c.B, c.T, c.H, c.D}, at::kFloat)};
  for (int i = 0; i < 5; ++i) x.push_back(draw({1, 1, A}, at::kFloat));
  if (!c.mixes) x[5] = x[6] = x[9] = at::Tensor();
  return x;
}

at::Tensor Angles(const Case& c) {
  if (!c.rotates) return at::Tensor();
  const at::Tensor half = c.tables_per_batch ? RandomTensor({c.B, c.T, c.D / 2}, 77) : RandomTensor({c.T, c.D / 2}, 77);
  return at::cat({half, half}, -1);
}

template <class F>
Operation Bind(const F& f, const Case& c, std::optional<at::ScalarType> output_type = std::nullopt) {
  const at::Tensor angles = Angles(c);
  return [f, c, angles, output_type](const Tensors& x) -> Tensors {
    const at::Tensor cos = angles.defined() ? angles.cos() : angles, sin = angles.defined() ? angles.sin() : angles;
    const Rwkv7Operands y = f({x[0], x[1], x[2], x[3], x[4], x[5], x[6]}, {x[7], x[8], x[9], x[10], x[11]}, cos, sin,
                              c.balance, output_type);
    return {y.r, y.log_w, y.k, y.v, y.a, y.b};
  };
}

TEST(Rwkv7Prepare, Fp32MatchesDoubleReference) {
  for (const Case& c : kCases) {
    ExpectMatchesReference(Bind(Rwkv7Prepare, c), Bind(Rwkv7PrepareReference, c), Inputs(c, at::kFloat), 1e-6, 2e-6,
                           Describe(c));
  }
}

TEST(Rwkv7Prepare, Bf16LogitsMatchReferenceOnTheSameValues) {
  for (const Case& c : kCases) {
    ExpectMatchesReference(Bind(Rwkv7Prepare, c), Bind(Rwkv7PrepareReference, c), Inputs(c, at::kBFloat16), 1e-6, 5e-3,
                           Describe(c));
  }
}

TEST(Rwkv7Prepare, Bf16ResultsMatchReferenceOnTheSameValues) {
  for (const Case& c : kCases) {
    Tensors x = Inputs(c, at::kBFloat16);
    if (c.mixes) x[6] = x[6].to(at::kBFloat16);
    ExpectMatchesReference(Bind(Rwkv7Prepare, c, at::kBFloat16), Bind(Rwkv7PrepareReference, c), x, 5e-3, 5e-3,
                           Describe(c));
    const Tensors got = Bind(Rwkv7Prepare, c, at::kBFloat16)(x), want = Bind(Rwkv7PrepareReference, c, at::kBFloat16)(x);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].scalar_type(), i == 1 ? at::kFloat : at::kBFloat16) << "output " << i;
      EXPECT_EQ(want[i].scalar_type(), got[i].scalar_type()) << "output " << i;
    }
  }
}

TEST(Rwkv7Prepare, ReferenceGradientsMatchDifferences) {
  for (Case c : {Case{1, 2, 2, 1, 4, true, false, true, false}, Case{2, 1, 2, 2, 4, true, true, true, true},
                 Case{1, 2, 2, 1, 4, false, false, false, false}}) {
    ExpectGradientsMatchDifferences(Bind(Rwkv7PrepareReference, c), Inputs(c, at::kDouble), Describe(c));
  }
}

TEST(Rwkv7Prepare, DoubleTakesTheReference) {
  const Case& c = kCases[0];
  const Tensors x = ToType(Inputs(c, at::kFloat), at::kDouble);
  const Tensors got = Bind(Rwkv7Prepare, c)(x), want = Bind(Rwkv7PrepareReference, c)(x);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].scalar_type(), at::kDouble);
    EXPECT_TRUE(BitwiseEqual(got[i], want[i]));
  }
}

TEST(Rwkv7Prepare, SoloEqualsBatched) {
  for (const Case& c : kCases) {
    if (c.tables_per_batch) continue;
    const Tensors x = Inputs(c, at::kFloat);
    const Tensors batched = Bind(Rwkv7Prepare, c)(x);
    for (int64_t row = 0; row < c.B; ++row) {
      Tensors alone = x;
      for (int i = 0; i < 7; ++i) {
        if (alone[i].defined()) alone[i] = alone[i].narrow(0, row, 1);
      }
      const Tensors got = Bind(Rwkv7Prepare, c)(alone);
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(BitwiseEqual(got[i], batched[i].narrow(0, row, 1))) << Describe(c) << " output " << i;
      }
    }
  }
}

TEST(Rwkv7Prepare, StridedLogitsGiveTheSame) {
  const Case& c = kCases[0];
  const Tensors x = Inputs(c, at::kFloat);
  Tensors strided = x;
  for (int i = 0; i < 7; ++i) strided[i] = x[i].transpose(0, 1).contiguous().transpose(0, 1);
  const OutputsAndGradients want = Differentiate(Bind(Rwkv7Prepare, c), x);
  const Tensors got = Bind(Rwkv7Prepare, c)(strided);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(BitwiseEqual(got[i], want.outputs[i].detach())) << "output " << i;
}

TEST(Rwkv7Prepare, ZeroKeyHasFiniteGradient) {
  for (const bool balance : {false, true}) {
    Case c = kCases[0];
    c.balance = balance;
    Tensors x = Inputs(c, at::kFloat);
    x[1].zero_();
    const OutputsAndGradients y = Differentiate(Bind(Rwkv7Prepare, c), x);
    const OutputsAndGradients want = Differentiate(Bind(Rwkv7PrepareReference, c), ToType(x, at::kDouble));
    EXPECT_FALSE(y.outputs[4].any().item<bool>());
    EXPECT_TRUE(IsClose(y.gradients[1], want.gradients[1], 1e-5));
  }
}

TEST(Rwkv7Prepare, NanStaysInItsHead) {
  const Case c = {1, 3, 4, 4, 32, true, false, true, false};
  Tensors x = Inputs(c, at::kFloat);
  x[3].select(0, 0).select(0, 1).narrow(0, 40, 1).fill_(NAN);  // w of token 1, head 1
  const Tensors y = Bind(Rwkv7Prepare, c)(x);
  EXPECT_EQ(at::isnan(y[1]).sum().item<int64_t>(), 1);
  EXPECT_TRUE(at::isnan(y[1].select(0, 0).select(0, 1).select(0, 1).select(0, 8)).item<bool>());
  EXPECT_FALSE(at::isnan(y[2]).any().item<bool>());
}

TEST(Rwkv7Prepare, FrozenInputsSaveNothing) {
  const Case& c = kCases[0];
  for (const at::Tensor& y : Bind(Rwkv7Prepare, c)(Inputs(c, at::kFloat))) EXPECT_FALSE(y.requires_grad());
}

}  // namespace
}  // namespace radlads
