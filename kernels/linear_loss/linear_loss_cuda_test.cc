// The tests of linear_loss_test.cc with the CUDA kernel, its real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/status.h"
#include "kernels/linear_loss/linear_loss.h"
#include "kernels/linear_loss/linear_loss_kernels.h"
#include "kernels/linear_loss/linear_loss_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/linear_loss/linear_loss_cuda.cu"

namespace radlads {
namespace {

const InPlaceOfCpu rows(loss_rows, [](const LogitChunk& given, double* kl, double* ce) {
  LogitChunk p = given;
  const int64_t count = p.rows * p.vocabulary;
  GuardedArguments guarded;
  const void* logits = p.student;
  guarded.Read(&logits, count, p.student_bf16);
  guarded.Read(&p.teacher, count, p.teacher_bf16);
  guarded.Read(&p.labels, p.rows);
  guarded.Write(&kl, p.rows);
  guarded.Write(&ce, p.rows);
  guarded.Write(&p.student, count, p.student_bf16);
  std::memcpy(p.student, logits, count * (p.student_bf16 ? 2 : 4));
  RADLADS_CHECK(cuda::LossRows(p, kl, ce, nullptr) == 0);
});

template <class F>
Operation Bind(const F& f, double kl_weight, double ce_weight, const at::Tensor& labels) {
  return [=](const Tensors& x) -> Tensors {
    LinearLossInputs inputs = {.hidden = x[0], .weight = x[1], .teacher_hidden = x[2], .teacher_weight = x[3]};
    inputs.labels = labels;
    inputs.kl_weight = kl_weight;
    inputs.ce_weight = ce_weight;
    return {f(inputs).loss};
  };
}

// One logit a row, hidden 1: the logits are the weights.
Tensors Logits(const at::Tensor& student, const at::Tensor& teacher) {
  const at::Tensor one = at::ones({1, 1});
  return {one, student.view({-1, 1}), one, teacher.view({-1, 1})};
}

// Vocabularies that fill blocks in several passes, in packs and without.
TEST(LinearLossCuda, Vocabularies) {
  for (const int64_t vocabulary : {1024, 4104, 8193}) {
    const at::Tensor labels = at::arange(2).mul(977);
    const Tensors x = {RandomTensor({2, 8}, 1), RandomTensor({vocabulary, 8}, 2), RandomTensor({2, 8}, 3),
                       RandomTensor({vocabulary, 8}, 4)};
    ExpectMatchesReference(Bind(LinearLoss, 0.6, 0.4, labels), Bind(LinearLossReference, 0.6, 0.4, labels), x, 1e-5,
                           2e-5, Concatenate("W=", vocabulary), SumOrder::kLibTorch);
  }
}

// The last bits of probabilities near 1 are those of what is left for the other words.
TEST(LinearLossCuda, NearlyCertainLabelKeepsItsGradient) {
  const at::Tensor student = at::zeros({64}), teacher = at::zeros({64}), labels = at::full({1}, 5, at::kLong);
  student[5].fill_(20.0f);
  teacher[5].fill_(21.0f);
  ExpectMatchesReference(Bind(LinearLoss, 0, 1, labels), Bind(LinearLossReference, 0, 1, labels),
                         Logits(student, teacher), 1e-5, 2e-5, "cross entropy", SumOrder::kLibTorch);
  ExpectMatchesReference(Bind(LinearLoss, 1, 1, labels), Bind(LinearLossReference, 1, 1, labels),
                         Logits(student, teacher), 1e-5, 2e-5, "both", SumOrder::kLibTorch);
}

TEST(LinearLossCuda, NanStaysInItsRow) {
  const at::Tensor logits = RandomTensor({3, 40}, 1);
  logits[1][39].fill_(NAN);
  const at::Tensor got = TokenLogProbabilities(logits, at::eye(40), at::arange(3));
  EXPECT_FALSE(std::isnan(got[0].item<float>()));
  EXPECT_TRUE(std::isnan(got[1].item<float>()));
  EXPECT_FALSE(std::isnan(got[2].item<float>()));
}

TEST(LinearLossCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  const at::Tensor labels = at::zeros({1}, at::kLong);
  ExpectMatchesReference(Bind(LinearLoss, 0.6, 0.4, labels), Bind(LinearLossReference, 0.6, 0.4, labels),
                         Logits(RandomTensor({64}, 1), RandomTensor({64}, 2)), 1e-5, 2e-5, "W=64", SumOrder::kLibTorch);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
