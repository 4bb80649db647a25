#include "kernels/linear_loss/linear_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/status.h"
#include "kernels/linear_loss/linear_loss_reference.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

constexpr int64_t kWidth = 24, kTeacherWidth = 40;

at::Tensor Labels(int64_t rows, int64_t vocabulary) {
  const at::Tensor labels = at::arange(rows).mul(7919).remainder(vocabulary);
  if (rows > 2) labels[1].fill_(kIgnoredLabel);
  return labels;
}

// hidden, weight, teacher_hidden, teacher_weight; logits have a standard deviation of about 2.
Tensors Draw(int64_t rows, int64_t vocabulary, at::ScalarType type) {
  const double scale = 2 / std::sqrt(static_cast<double>(kWidth));
  return {RandomTensor({rows, kWidth}, 1, type), RandomTensor({vocabulary, kWidth}, 2).mul(scale).to(type),
          RandomTensor({rows, kTeacherWidth}, 3, type),
          RandomTensor({vocabulary, kTeacherWidth}, 4).mul(scale * 0.7).to(type)};
}

LinearLossInputs Inputs(const Tensors& x, double kl_weight, double ce_weight, int64_t chunk_rows) {
  LinearLossInputs inputs = {.hidden = x[0], .weight = x[1]};
  if (kl_weight != 0) {
    inputs.teacher_hidden = x[2];
    inputs.teacher_weight = x[3];
  }
  if (ce_weight != 0) inputs.labels = Labels(x[0].size(0), x[1].size(0));
  inputs.kl_weight = kl_weight;
  inputs.ce_weight = ce_weight;
  inputs.chunk_rows = chunk_rows;
  return inputs;
}

template <class F>
Operation Bind(const F& f, double kl_weight, double ce_weight, int64_t chunk_rows) {
  return [=](const Tensors& x) -> Tensors { return {f(Inputs(x, kl_weight, ce_weight, chunk_rows)).loss}; };
}

TEST(LinearLoss, MatchesFullLogitsInDouble) {
  for (const int64_t vocabulary : {1, 31, 1000, 49153}) {
    const int64_t rows = vocabulary > 10000 ? 3 : 7;
    for (const auto& [kl, ce] : {std::pair(1.0, 0.0), std::pair(0.0, 1.0), std::pair(0.7, 0.3)}) {
      const Tensors x = Draw(rows, vocabulary, at::kFloat);
      if (vocabulary == 1) {  // one word: no loss, no gradient
        const OutputsAndGradients y = Differentiate(Bind(LinearLoss, kl, ce, 3), x);
        EXPECT_EQ(y.outputs[0].item<float>(), 0);
        EXPECT_FALSE(y.gradients[0].any().item<bool>());
        EXPECT_FALSE(y.gradients[1].any().item<bool>());
        continue;
      }
      ExpectMatchesReference(Bind(LinearLoss, kl, ce, 3), Bind(LinearLossReference, kl, ce, 3), x, 1e-5, 2e-5,
                             Concatenate("W=", vocabulary, " kl=", kl, " ce=", ce), SumOrder::kLibTorch);
    }
  }
}

// The logits themselves are rounded to bf16 by the GEMM: at |z| ~ 2 that is an error of 0.004 in each.
TEST(LinearLoss, Bf16MatchesReferenceOnTheSameValues) {
  for (const int64_t vocabulary : {31, 1000}) {
    ExpectMatchesReference(Bind(LinearLoss, 0.7, 0.3, 3), Bind(LinearLossReference, 0.7, 0.3, 3),
                           Draw(7, vocabulary, at::kBFloat16), 5e-3, 1e-2, Concatenate("W=", vocabulary),
                           SumOrder::kLibTorch);
  }
}

TEST(LinearLoss, Bf16HiddenWithFp32WeightsReturnsFp32WeightGradient) {
  Tensors x = Draw(9, 333, at::kBFloat16);
  x[1] = x[1].to(at::kFloat);
  x[3] = x[3].to(at::kFloat);
  ExpectMatchesReference(Bind(LinearLoss, 1, 0, 4), Bind(LinearLossReference, 1, 0, 4), x, 5e-3, 1e-2, "mixed",
                         SumOrder::kLibTorch);
}

TEST(LinearLoss, ReferenceGradientsMatchDifferences) {
  Tensors x = {RandomTensor({3, 4}, 1, at::kDouble), RandomTensor({5, 4}, 2, at::kDouble),
               RandomTensor({3, 4}, 3, at::kDouble), RandomTensor({5, 4}, 4, at::kDouble)};
  ExpectGradientsMatchDifferences(Bind(LinearLossReference, 0.7, 0.3, 3), x, "kl and ce");
}

TEST(LinearLoss, ChunksAgree) {
  constexpr int64_t kRows = 7;
  const Tensors x = Draw(kRows, 1000, at::kFloat);
  const OutputsAndGradients want = Differentiate(Bind(LinearLoss, 0.7, 0.3, kRows), x);
  for (const int64_t chunk : {1, 3, 12}) {
    const OutputsAndGradients got = Differentiate(Bind(LinearLoss, 0.7, 0.3, chunk), x);
    EXPECT_TRUE(IsClose(got.outputs[0].detach(), want.outputs[0].detach(), 1e-6)) << "chunk " << chunk;
    EXPECT_TRUE(IsClose(got.gradients[0], want.gradients[0], 2e-6)) << "chunk " << chunk;
    EXPECT_TRUE(IsClose(got.gradients[1], want.gradients[1], 2e-6)) << "chunk " << chunk;
  }
}

TEST(LinearLoss, StudentEqualToTeacherHasNoLossAndNoGradient) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Tensors x = Draw(5, 1000, type);
    x[2] = x[0];
    x[3] = x[1];
    const OutputsAndGradients y = Differentiate(Bind(LinearLoss, 1, 0, 3), x);
    EXPECT_EQ(y.outputs[0].item<float>(), 0);
    EXPECT_FALSE(y.gradients[0].any().item<bool>());
    EXPECT_FALSE(y.gradients[1].any().item<bool>());
  }
}

// One more column in hidden and weight adds a constant to all logits of a row.
TEST(LinearLoss, ShiftOfLogitsChangesNothing) {
  Tensors x = Draw(5, 1000, at::kFloat);
  const double want = LinearLoss(Inputs(x, 1, 0, 2)).kl;
  x[0] = at::cat({x[0], at::full({5, 1}, 64.0)}, 1);
  x[1] = at::cat({x[1], at::full({1000, 1}, 1.0)}, 1);
  const double got = LinearLoss(Inputs(x, 1, 0, 2)).kl;
  EXPECT_NEAR(got, want, 1e-5 * want);
  EXPECT_GT(want, 0);
}

// A teacher that is certain of the label: KL is the cross entropy.
TEST(LinearLoss, CertainTeacherGivesCrossEntropy) {
  Tensors x = Draw(1, 50, at::kFloat);
  const at::Tensor labels = at::full({1}, 17, at::kLong);
  LinearLossInputs inputs = Inputs(x, 1, 0, 1);
  inputs.teacher_hidden = at::full({1, 1}, 100.0f);
  inputs.teacher_weight = at::zeros({50, 1});
  inputs.teacher_weight[17].fill_(1.0f);
  inputs.labels = labels;
  const LinearLossResult y = LinearLoss(inputs);
  EXPECT_NEAR(y.kl, y.ce, 1e-5 * y.ce);
}

TEST(LinearLoss, ExtremeLogitsStayFiniteAndRight) {
  const at::Tensor hidden = at::tensor({1.0f, -1.0f}).view({2, 1});
  const at::Tensor weight = at::tensor({1e4f, -1e4f, 0.0f, 9.999e3f, 1.0f}).view({5, 1});
  const at::Tensor teacher = at::tensor({1.0f, 1.0f}).view({2, 1});
  Tensors x = {hidden, weight, teacher, weight};
  auto bind = [](auto f) {
    return [f](const Tensors& t) -> Tensors {
      LinearLossInputs inputs = {.hidden = t[0], .weight = t[1], .teacher_hidden = t[2], .teacher_weight = t[3]};
      inputs.labels = at::zeros({2}, at::kLong);
      inputs.kl_weight = inputs.ce_weight = 0.5;
      return {f(inputs).loss};
    };
  };
  ExpectMatchesReference(bind(LinearLoss), bind(LinearLossReference), x, 1e-5, 2e-5, "logits of 1e4",
                         SumOrder::kLibTorch);
}

TEST(LinearLoss, NanReachesTheLoss) {
  Tensors x = Draw(5, 100, at::kFloat);
  x[0][3][0].fill_(NAN);
  EXPECT_TRUE(std::isnan(LinearLoss(Inputs(x, 1, 0, 2)).loss.item<float>()));
  EXPECT_TRUE(std::isnan(LinearLoss(Inputs(x, 0, 1, 2)).loss.item<float>()));
}

TEST(LinearLoss, IgnoredRowsCountForNothing) {
  const Tensors x = Draw(4, 60, at::kFloat);
  LinearLossInputs inputs = Inputs(x, 0, 1, 2);
  inputs.labels = at::full({4}, kIgnoredLabel, at::kLong);
  inputs.hidden = x[0].clone().set_requires_grad(true);
  const LinearLossResult y = LinearLoss(inputs);
  EXPECT_EQ(y.ce, 0);
  y.loss.backward();
  EXPECT_FALSE(inputs.hidden.grad().any().item<bool>());
}

TEST(LinearLoss, ReportsBothTermsAndRecordsOnlyWhatIsAsked) {
  const Tensors x = Draw(5, 100, at::kFloat);
  LinearLossInputs inputs = Inputs(x, 1, 1, 2);
  inputs.kl_weight = 0;
  const LinearLossResult y = LinearLoss(inputs);
  EXPECT_GT(y.kl, 0);
  EXPECT_NEAR(y.loss.item<double>(), y.ce, 1e-6 * y.ce);
  EXPECT_FALSE(y.loss.requires_grad());
  inputs.weight = x[1].clone().set_requires_grad(true);
  LinearLoss(inputs).loss.mul(3).backward();
  const at::Tensor thrice = inputs.weight.grad().clone();
  inputs.weight.mutable_grad().reset();
  LinearLoss(inputs).loss.backward();
  EXPECT_TRUE(IsClose(thrice, inputs.weight.grad() * 3, 1e-6));
}

TEST(LinearLossDeathTest, RefusesLabelsOutsideTheVocabulary) {
  LinearLossInputs inputs = Inputs(Draw(3, 10, at::kFloat), 0, 1, 2);
  inputs.labels = at::full({3}, 10, at::kLong);
  EXPECT_DEATH(LinearLoss(inputs), "label 0 is 10, expected -100 or 0 to 9");
}

TEST(LinearLossDeathTest, RefusesASecondBackwardAndASecondDerivative) {
  LinearLossInputs inputs = Inputs(Draw(3, 10, at::kFloat), 1, 0, 2);
  inputs.hidden.set_requires_grad(true);
  const at::Tensor loss = LinearLoss(inputs).loss;
  loss.backward({}, /*retain_graph=*/true);
  EXPECT_DEATH(loss.backward(), "second time");
  // Computed out here: OpenMP's threads do not survive the fork of a death test.
  const at::Tensor again = LinearLoss(inputs).loss;
  EXPECT_DEATH(again.backward({}, std::nullopt, /*create_graph=*/true), "no second derivative");
}

TEST(TokenLogProbabilities, MatchReference) {
  for (const int64_t vocabulary : {1, 31, 3001}) {
    const Tensors x = Draw(7, vocabulary, at::kFloat), wide = ToType(x, at::kDouble);
    const at::Tensor labels = Labels(7, vocabulary);
    const at::Tensor want = TokenLogProbabilitiesReference(wide[0], wide[1], labels);
    for (const int64_t chunk : {1, 3, 7, 12}) {
      const at::Tensor got = TokenLogProbabilities(x[0], x[1], labels, chunk);
      EXPECT_TRUE(IsClose(got, want, 2e-6)) << "W=" << vocabulary << " chunk " << chunk;
      EXPECT_EQ(got[1].item<float>(), 0);
    }
  }
}

}  // namespace
}  // namespace radlads
