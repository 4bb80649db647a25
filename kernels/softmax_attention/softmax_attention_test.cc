#include "kernels/softmax_attention/softmax_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/softmax_attention/softmax_attention_cpu.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

// Word for word, in double: all scores, masked, softmax, product.
at::Tensor Naive(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, const at::Tensor& first) {
  const int64_t T = q.size(1), S = k.size(1), group = q.size(2) / k.size(2);
  const at::Tensor keys = k.to(at::kDouble).repeat_interleave(group, 2),
                   values = v.to(at::kDouble).repeat_interleave(group, 2);
  at::Tensor scores = at::einsum("bthd,bshd->bhts", {q.to(at::kDouble), keys}) * scale;
  const at::Tensor key = at::arange(S), query = at::arange(S - T, S).unsqueeze(1);
  at::Tensor hidden = key.gt(query).expand({q.size(0), T, S});
  if (first.defined()) hidden = hidden.logical_or(key.lt(first.unsqueeze(2)));
  scores = scores.masked_fill(hidden.unsqueeze(1), -INFINITY);
  return at::einsum("bhts,bshd->bthd", {at::softmax(scores, -1), values});
}

struct Case {
  int64_t B, T, S, H, KV, D;
  // The span of each document; 0: no `first`.
  int64_t document = 0;

  std::string Name() const {
    return Concatenate("B", B, " T", T, " S", S, " H", H, " KV", KV, " D", D, " documents of ", document);
  }
  at::Tensor Q(at::ScalarType type = at::kFloat) const { return RandomTensor({B, T, H, D}, 1, type); }
  at::Tensor K(at::ScalarType type = at::kFloat) const { return RandomTensor({B, S, KV, D}, 2, type); }
  at::Tensor V(at::ScalarType type = at::kFloat) const { return RandomTensor({B, S, KV, D}, 3, type); }
  double Scale() const { return 1 / std::sqrt(static_cast<double>(D)); }
  // Row b's documents begin b tokens earlier than those of row 0.
  at::Tensor First() const {
    if (document == 0) return at::Tensor();
    at::Tensor first = at::empty({B, T}, at::kLong);
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t t = 0; t < T; ++t) first[b][t] = std::max<int64_t>(0, (S - T + t + b) / document * document - b);
    }
    return first;
  }
};

// Whole sequences, pieces, single tokens; groups that do not fill a block of rows; head sizes that fill no vector;
// numbers of keys around the blocks of 16, 256 and 512.
constexpr Case kCases[] = {
    {1, 1, 1, 1, 1, 1},     {1, 1, 513, 6, 2, 64},   {2, 3, 40, 9, 3, 64},         {2, 17, 17, 14, 2, 36},
    {1, 70, 300, 7, 7, 7},  {1, 100, 100, 5, 1, 80}, {2, 33, 1040, 4, 2, 128, 50}, {1, 257, 257, 3, 3, 16, 100},
    {3, 5, 5, 2, 1, 65, 2}, {1, 2, 600, 64, 1, 32},  {1, 15, 256, 3, 1, 96, 1},    {2, 1, 1025, 8, 4, 40, 700},
};

using Path = std::function<void(const SoftmaxAttentionArguments&, void*)>;

void Bf16Path(const SoftmaxAttentionArguments& arguments, void* y) {
  const at::Tensor workspace = at::empty({SoftmaxAttentionBf16WorkspaceSize(arguments)}, at::kByte).fill_(0xFF);
  SoftmaxAttentionBf16Cpu(arguments, workspace.mutable_data_ptr(), y);
}

AttentionOperand Operand(const at::Tensor& x) {
  return {x.const_data_ptr(), x.stride(0), x.stride(1), x.stride(2)};
}

at::Tensor RunPath(const Path& path, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                   const at::Tensor& first) {
  const at::Tensor y = at::full(q.sizes(), NAN, q.options());
  path({.batch = q.size(0),
        .time = q.size(1),
        .keys = k.size(1),
        .heads = q.size(2),
        .kv_heads = k.size(2),
        .head_dim = q.size(3),
        .q = Operand(q),
        .k = Operand(k),
        .v = Operand(v),
        .first = first.defined() ? first.const_data_ptr<int64_t>() : nullptr,
        .scale = static_cast<float>(scale),
        .bf16 = q.scalar_type() == at::kBFloat16},
       y.mutable_data_ptr());
  return y;
}

void ExpectPathMatches(const Path& path, at::ScalarType type, double tolerance) {
  const int threads = Threads();
  for (const Case& c : kCases) {
    const at::Tensor q = c.Q(type), k = c.K(type), v = c.V(type), first = c.First();
    SetThreads(1);
    const at::Tensor got = RunPath(path, q, k, v, c.Scale(), first);
    EXPECT_TRUE(IsClose(got, Naive(q, k, v, c.Scale(), first), tolerance)) << c.Name();
    SetThreads(3);
    EXPECT_TRUE(BitwiseEqual(RunPath(path, q, k, v, c.Scale(), first), got)) << "threads, " << c.Name();
    SetThreads(threads);
  }
}

TEST(SoftmaxAttentionPaths, RowsMatchDouble) {
  ForEachTarget([](const std::string& target) {
    SCOPED_TRACE(target);
    ExpectPathMatches(SoftmaxAttentionRowsCpu, at::kFloat, 1e-6);
    ExpectPathMatches(SoftmaxAttentionRowsCpu, at::kBFloat16, 3e-3);
  });
}

TEST(SoftmaxAttentionPaths, Bf16MatchesDouble) {
  if (!SoftmaxAttentionBf16Supported()) GTEST_SKIP() << "this processor has no AVX-512 BF16";
  ExpectPathMatches(Bf16Path, at::kBFloat16, 4e-3);
}

// Scores around 100 that differ by less than bf16 could tell.
TEST(SoftmaxAttentionPaths, ScoresKeepTheirPrecision) {
  const Case c = {1, 20, 64, 2, 1, 64};
  at::Tensor q = c.Q(at::kBFloat16), k = c.K(at::kBFloat16);
  q.select(3, 0).fill_(32);
  k.select(3, 0).fill_(25);
  const at::Tensor v = c.V(at::kBFloat16), want = Naive(q, k, v, c.Scale(), at::Tensor());
  ASSERT_GT(
      RelativeRms(
          at::matmul(
              at::softmax(at::matmul(q.select(2, 0), k.select(2, 0).transpose(1, 2)).to(at::kDouble) * c.Scale(), -1),
              v.select(2, 0).to(at::kDouble))[0][19],
          want[0][19][0]),
      0.02)
      << "rounded scores do no harm here, so this test shows nothing";
  EXPECT_TRUE(IsClose(RunPath(SoftmaxAttentionRowsCpu, q, k, v, c.Scale(), at::Tensor()), want, 3e-3));
  if (!SoftmaxAttentionBf16Supported()) GTEST_SKIP() << "this processor has no AVX-512 BF16";
  EXPECT_TRUE(IsClose(RunPath(Bf16Path, q, k, v, c.Scale(), at::Tensor()), want, 4e-3));
}

TEST(SoftmaxAttentionPaths, HugeScoresStayFinite) {
  const Case c = {1, 20, 600, 2, 1, 64};
  const at::Tensor q = c.Q(at::kBFloat16) * 3000, k = c.K(at::kBFloat16), v = c.V(at::kBFloat16);
  const at::Tensor want = Naive(q, k, v, c.Scale(), at::Tensor());
  EXPECT_TRUE(IsClose(RunPath(SoftmaxAttentionRowsCpu, q, k, v, c.Scale(), at::Tensor()), want, 3e-3));
  if (!SoftmaxAttentionBf16Supported()) GTEST_SKIP() << "this processor has no AVX-512 BF16";
  EXPECT_TRUE(IsClose(RunPath(Bf16Path, q, k, v, c.Scale(), at::Tensor()), want, 4e-3));
}

TEST(CausalSoftmaxAttention, MatchesDoubleInAnyDtype) {
  for (const Case& c : kCases) {
    for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-12}, {at::kFloat, 2e-6}, {at::kBFloat16, 8e-3}}) {
      const at::Tensor q = c.Q(type), k = c.K(type), v = c.V(type), first = c.First();
      const at::Tensor y = CausalSoftmaxAttention(q, k, v, c.Scale(), first);
      EXPECT_EQ(y.scalar_type(), type);
      EXPECT_TRUE(y.is_contiguous());
      EXPECT_TRUE(IsClose(y, Naive(q, k, v, c.Scale(), first), tolerance)) << type << ", " << c.Name();
    }
  }
}

// In fp32 a query gives the same bits in one pass over its sequence, in pieces, and beside another sequence.
TEST(CausalSoftmaxAttention, QueriesDoNotDependOnEachOther) {
  const Case c = {2, 700, 700, 6, 2, 48};
  const at::Tensor q = c.Q(at::kFloat), k = c.K(at::kFloat), v = c.V(at::kFloat);
  const at::Tensor whole = CausalSoftmaxAttention(q, k, v, c.Scale(), at::Tensor());
  for (int64_t batch = 0; batch < 2; ++batch) {
    const auto piece = [&](const at::Tensor& x, int64_t start, int64_t end) {
      return x.narrow(0, batch, 1).slice(1, start, end);
    };
    for (const auto& [start, end] : {std::pair<int64_t, int64_t>{0, 1}, {0, 130}, {130, 131}, {131, 600}, {600, 700}}) {
      EXPECT_TRUE(BitwiseEqual(
          CausalSoftmaxAttention(piece(q, start, end), piece(k, 0, end), piece(v, 0, end), c.Scale(), at::Tensor()),
          piece(whole, start, end)))
          << "sequence " << batch << ", tokens [" << start << ", " << end << ")";
    }
  }
}

TEST(CausalSoftmaxAttention, GradientsMatchDouble) {
  for (const Case& c : {kCases[2], kCases[8]}) {
    auto bind = [&](auto f) -> Operation {
      return [&c, f](const Tensors& x) -> Tensors { return {f(x[0], x[1], x[2], c.Scale(), c.First())}; };
    };
    const Tensors inputs = {c.Q(), c.K(), c.V()};
    const OutputsAndGradients got = Differentiate(bind([](const auto&... x) { return CausalSoftmaxAttention(x...); }),
                                                  inputs),
                              want = Differentiate(bind(Naive), ToType(inputs, at::kDouble));
    EXPECT_TRUE(IsClose(got.outputs[0], want.outputs[0], 2e-6)) << c.Name();
    for (size_t i = 0; i < inputs.size(); ++i) {
      EXPECT_TRUE(IsClose(got.gradients[i], want.gradients[i], 5e-6)) << "gradient " << i << ", " << c.Name();
    }
  }
}

// Without gradients, but as the pass that records them.
TEST(CausalSoftmaxAttention, DifferentiableGivesWhatRecordingGives) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Case& c = kCases[3];
    const at::Tensor q = c.Q(type), k = c.K(type), v = c.V(type);
    const at::Tensor recorded = CausalSoftmaxAttention(q.clone().set_requires_grad(true), k, v, c.Scale(), {});
    EXPECT_TRUE(BitwiseEqual(CausalSoftmaxAttention(q, k, v, c.Scale(), {}, /*differentiable=*/true), recorded));
    EXPECT_TRUE(
        IsClose(CausalSoftmaxAttention(q, k, v, c.Scale(), {}), recorded.detach(), type == at::kFloat ? 2e-6 : 1e-2));
  }
}

TEST(CausalSoftmaxAttention, SplitEqualsWhole) {
  const Case c = {2, 90, 90, 6, 2, 64, 40};
  for (const auto& [type, tolerance] : {std::pair{at::kFloat, 2e-6}, {at::kBFloat16, 5e-3}}) {
    const at::Tensor q = c.Q(type), k = c.K(type), v = c.V(type), first = c.First();
    const at::Tensor whole = CausalSoftmaxAttention(q, k, v, c.Scale(), first);
    for (const int64_t cut : {1, 16, 50, 89}) {
      const at::Tensor head = CausalSoftmaxAttention(q.narrow(1, 0, cut), k.narrow(1, 0, cut), v.narrow(1, 0, cut),
                                                     c.Scale(), first.narrow(1, 0, cut));
      const at::Tensor tail =
          CausalSoftmaxAttention(q.narrow(1, cut, 90 - cut), k, v, c.Scale(), first.narrow(1, cut, 90 - cut));
      EXPECT_TRUE(IsClose(at::cat({head, tail}, 1), whole, tolerance)) << type << ", cut at " << cut;
    }
  }
}

TEST(CausalSoftmaxAttention, SoloEqualsBatched) {
  for (const Case& c : {Case{3, 20, 50, 6, 2, 64, 30}, Case{3, 1, 700, 6, 2, 64}}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor q = c.Q(type), k = c.K(type), v = c.V(type), first = c.First();
      const at::Tensor batched = CausalSoftmaxAttention(q, k, v, c.Scale(), first);
      for (int64_t row = 0; row < c.B; ++row) {
        const at::Tensor solo = CausalSoftmaxAttention(q.narrow(0, row, 1), k.narrow(0, row, 1), v.narrow(0, row, 1),
                                                       c.Scale(), first.defined() ? first.narrow(0, row, 1) : first);
        EXPECT_TRUE(BitwiseEqual(solo, batched.narrow(0, row, 1))) << type << ", row " << row << ", " << c.Name();
      }
    }
  }
}

// Rows of any lengths, in memory whose rest is never looked at, give what each gives alone.
TEST(CausalSoftmaxAttention, RowsOfTheirOwnLengths) {
  for (const Case& c : {Case{4, 1, 1300, 6, 2, 64}, Case{4, 5, 700, 4, 2, 33, 30}}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
      const std::vector<int64_t> lengths = {c.S, c.T, 513, 512};
      const at::Tensor q = c.Q(type);
      at::Tensor k = c.K(type), v = c.V(type), first;
      if (c.First().defined()) first = at::arange(c.T, at::kLong).div(2, "floor").expand({c.B, c.T});
      for (int64_t row = 0; row < c.B; ++row) {
        for (const at::Tensor& x : {k, v}) x[row].slice(0, lengths[row]).fill_(NAN);
      }
      const at::Tensor together =
          CausalSoftmaxAttention(q, k, v, c.Scale(), first, /*differentiable=*/false, at::tensor(lengths));
      for (int64_t row = 0; row < c.B; ++row) {
        const auto own = [&](const at::Tensor& x) { return x.narrow(0, row, 1).slice(1, 0, lengths[row]); };
        const at::Tensor alone =
            CausalSoftmaxAttention(q.narrow(0, row, 1), own(k), own(v), c.Scale(),
                                   first.defined() ? first.narrow(0, row, 1) : first);
        if (type == at::kFloat) {
          EXPECT_TRUE(BitwiseEqual(together.narrow(0, row, 1), alone)) << "row " << row << ", " << c.Name();
        } else {
          EXPECT_TRUE(IsClose(together.narrow(0, row, 1), alone, type == at::kDouble ? 1e-12 : 8e-3))
              << type << ", row " << row << ", " << c.Name();
        }
      }
    }
  }
}

TEST(CausalSoftmaxAttention, StridesDoNotMatter) {
  for (const Case& c : {Case{2, 20, 50, 6, 2, 64}, Case{2, 1, 50, 4, 2, 33}}) {
    const at::Tensor q = c.Q(at::kBFloat16), k = c.K(at::kBFloat16), v = c.V(at::kBFloat16);
    const at::Tensor want = CausalSoftmaxAttention(q, k, v, c.Scale(), at::Tensor());
    auto heads_first = [](const at::Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); };
    auto columns = [](const at::Tensor& x) { return x.transpose(1, 3).contiguous().transpose(1, 3); };
    EXPECT_TRUE(
        BitwiseEqual(CausalSoftmaxAttention(heads_first(q), heads_first(k), heads_first(v), c.Scale(), {}), want));
    EXPECT_TRUE(BitwiseEqual(CausalSoftmaxAttention(columns(q), columns(k), columns(v), c.Scale(), {}), want));
  }
}

TEST(CausalSoftmaxAttention, NanStaysWithinWhatSeesIt) {
  for (const Case& c : {Case{2, 40, 60, 4, 2, 64, 25}, Case{2, 1, 60, 4, 2, 64, 25}}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor first = c.First(), k = c.K(type), v = c.V(type);
      at::Tensor q = c.Q(type);
      q[1][c.T - 1][2].fill_(NAN);
      at::Tensor bad = at::isnan(CausalSoftmaxAttention(q, k, v, c.Scale(), first)).all(3);
      EXPECT_EQ(bad.sum().item<int64_t>(), 1) << type << " query, " << c.Name();
      EXPECT_TRUE(bad[1][c.T - 1][2].item<bool>());

      at::Tensor bad_k = k.clone();
      bad_k[0][55][1].fill_(NAN);  // of heads 2 and 3; seen by token 55 and later ones of its document
      bad = at::isnan(CausalSoftmaxAttention(c.Q(type), bad_k, v, c.Scale(), first)).any(3);
      const int64_t seeing = std::min<int64_t>(c.T, 60 - 55);
      EXPECT_EQ(bad.sum().item<int64_t>(), 2 * seeing) << type << " key, " << c.Name();
      EXPECT_EQ(bad[0].narrow(0, c.T - seeing, seeing).narrow(1, 2, 2).sum().item<int64_t>(), 2 * seeing);

      at::Tensor bad_v = v.clone();
      bad_v[0][55][1].fill_(NAN);
      bad = at::isnan(CausalSoftmaxAttention(c.Q(type), k, bad_v, c.Scale(), first)).any(3);
      EXPECT_EQ(bad[0].narrow(0, c.T - seeing, seeing).narrow(1, 2, 2).sum().item<int64_t>(), 2 * seeing);
      EXPECT_FALSE(bad[1].any().item<bool>()) << type << " value, other row, " << c.Name();
      EXPECT_FALSE(bad[0].narrow(1, 0, 2).any().item<bool>()) << type << " value, other heads, " << c.Name();
    }
  }
}

TEST(CausalSoftmaxAttention, NoQueriesGiveNothing) {
  const at::Tensor k = at::zeros({2, 5, 1, 8});
  EXPECT_EQ(CausalSoftmaxAttention(at::zeros({2, 0, 3, 8}), k, k, 1, at::Tensor()).sizes(),
            at::IntArrayRef({2, 0, 3, 8}));
}

TEST(CausalSoftmaxAttentionDeathTest, ArgumentsAreChecked) {
  const at::Tensor q = at::zeros({1, 2, 4, 8}), k = at::zeros({1, 3, 2, 8}), none;
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, at::zeros({1, 4, 2, 8}), 1, none), "with T <= S");
  EXPECT_DEATH(CausalSoftmaxAttention(at::zeros({1, 4, 4, 8}), k, k, 1, none), "with T <= S");
  EXPECT_DEATH(CausalSoftmaxAttention(at::zeros({1, 2, 3, 8}), k, k, 1, none), "KV dividing H");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k.to(at::kBFloat16), k, 1, none), "one dtype");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 0, none), "scale must be above 0");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, at::zeros({1, 2})), "int64");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, at::full({1, 2}, 2, at::kLong)), "query 0 of row 0 is token 1");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, at::full({1, 2}, -1, at::kLong)), "from -1");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, none, false, at::full({1}, 4, at::kLong)), "4 keys, of 3");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, none, false, at::full({1}, 1, at::kLong)), "1 keys, of 3 for 2");
  EXPECT_DEATH(CausalSoftmaxAttention(q, k, k, 1, none, false, at::full({2}, 3, at::kLong)), "lengths .B. of int64");
}

}  // namespace
}  // namespace radlads
