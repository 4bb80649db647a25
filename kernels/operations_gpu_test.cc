// The operations of kernels/ but the recurrences (kernels/wkv/cuda/gpu_test.cc) on a GPU against the CPU: outputs and
// gradients, fp32 and bf16, at sizes with and without whole vectors. Where there is no GPU, the tests say so and skip.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/head_norm_gate/head_norm_gate.h"
#include "kernels/l2_distance/l2_distance.h"
#include "kernels/linear_loss/linear_loss.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"
#include "kernels/token_shift/token_shift.h"

namespace radlads {
namespace {

using at::Tensor;

class OperationsGpuTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (!at::cuda::is_available()) GTEST_SKIP() << "no GPU here";
  }

  static Tensor Random(at::IntArrayRef sizes, uint64_t seed) { return RandomTensor(sizes, seed, GetParam()); }

  static void ExpectMatchesCpu(const Operation& operation, const Tensors& inputs) {
    Tensors on_gpu = inputs;
    for (Tensor& x : on_gpu) {
      if (x.defined()) x = x.to(at::kCUDA);
    }
    const OutputsAndGradients want = Differentiate(operation, inputs), got = Differentiate(operation, on_gpu),
                              again = Differentiate(operation, on_gpu);
    const double tolerance = GetParam() == at::kFloat ? 2e-5 : 6e-3;
    const auto expect_close = [&](const Tensor& x, const Tensor& other_run, const Tensor& expected, const char* what,
                                  size_t i) {
      ASSERT_EQ(x.defined(), expected.defined()) << what << " " << i;
      if (!x.defined()) return;
      EXPECT_TRUE(x.is_cuda() && x.scalar_type() == expected.scalar_type()) << what << " " << i;
      EXPECT_TRUE(IsClose(x.detach().cpu(), expected.detach(), tolerance)) << what << " " << i;
      EXPECT_TRUE(BitwiseEqual(x.detach().cpu(), other_run.detach().cpu())) << what << " " << i << ", two runs";
    };
    for (size_t i = 0; i < want.outputs.size(); ++i) {
      expect_close(got.outputs[i], again.outputs[i], want.outputs[i], "output", i);
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      expect_close(got.gradients[i], again.gradients[i], want.gradients[i], "gradient", i);
    }
  }
};

TEST_P(OperationsGpuTest, RmsNorm) {
  for (const int64_t width : {576, 577, 3584, 20000}) {
    ExpectMatchesCpu([](const Tensors& x) { return Tensors{RmsNorm(x[0], x[1], 1e-5, GetParam())}; },
                     {Random({70, width}, 1), RandomTensor({width}, 2)});
  }
}

TEST_P(OperationsGpuTest, SwiGlu) {
  for (const int64_t width : {1536, 1537}) {
    ExpectMatchesCpu([](const Tensors& x) { return Tensors{SwiGlu(x[0], x[1])}; },
                     {Random({70, width}, 1), Random({70, width}, 2)});
  }
}

TEST_P(OperationsGpuTest, HeadNormGate) {
  for (const int64_t dim : {64, 96, 128}) {
    const int64_t width = 3 * dim;
    for (const bool sigmoid : {false, true}) {
      ExpectMatchesCpu(
          [=](const Tensors& x) {
            return Tensors{HeadNormGate(x[0], x[1], x[2], 64e-5, 0.5, x[3], sigmoid, GetParam())};
          },
          {Random({2, 35, 3, dim}, 1), RandomTensor({width}, 2), RandomTensor({width}, 3), Random({2, 35, width}, 4)});
    }
  }
}

TEST_P(OperationsGpuTest, L2Distance) {
  for (const int64_t width : {576, 577}) {
    const Tensor target = Random({70, width}, 2);
    ExpectMatchesCpu([=](const Tensors& x) { return Tensors{L2Distance(target.to(x[0].device()), x[0])}; },
                     {Random({70, width}, 1)});
  }
}

TEST_P(OperationsGpuTest, Rope) {
  for (const int64_t dim : {64, 96, 128}) {
    const Tensor cos = RandomTensor({35, dim}, 2), sin = RandomTensor({35, dim}, 3);
    ExpectMatchesCpu(
        [=](const Tensors& x) { return Tensors{Rope(x[0], cos.to(x[0].device()), sin.to(x[0].device()))}; },
        {Random({2, 35, 3, dim}, 1)});
  }
}

TEST_P(OperationsGpuTest, TokenShift) {
  for (const int64_t width : {576, 577}) {
    const Tensor reset = RandomTensor({2, 35}, 5) > 1;
    ExpectMatchesCpu(
        [=](const Tensors& x) { return TokenShift(x[0], x[1], reset.to(x[0].device()), x[2], x[3]); },
        {Random({2, 35, width}, 1), Random({2, width}, 2), RandomTensor({5, width}, 3), Random({5, 2, 35, width}, 4)});
  }
}

TEST_P(OperationsGpuTest, Rwkv7Prepare) {
  const int64_t B = 2, T = 35, H = 6, KV = 2, D = 64, A = H * D;
  const Tensor cos = RandomTensor({T, D}, 20), sin = RandomTensor({T, D}, 21);
  for (const bool balance : {false, true}) {
    ExpectMatchesCpu(
        [=](const Tensors& x) {
          const Rwkv7Operands y =
              Rwkv7Prepare({x[0], x[1], x[2], x[3], x[4], x[5], x[6]}, {x[7], x[8], x[9], x[10], x[11]},
                           cos.to(x[0].device()), sin.to(x[0].device()), balance);
          return Tensors{y.r, y.log_w, y.k, y.v, y.a, y.b};
        },
        {Random({B, T, H, D}, 1), Random({B, T, KV, D}, 2), Random({B, T, KV, D}, 3), Random({B, T, A}, 4),
         Random({B, T, A}, 5), Random({B, T, A}, 6), Random({B, T, H, D}, 7), RandomTensor({A}, 8),
         RandomTensor({A}, 9), RandomTensor({A}, 10), RandomTensor({A}, 11), RandomTensor({A}, 12)});
  }
}

TEST_P(OperationsGpuTest, LinearLoss) {
  for (const int64_t vocabulary : {4096, 4099}) {
    const Tensor labels = at::arange(70).mul(37);
    ExpectMatchesCpu(
        [=](const Tensors& x) {
          LinearLossInputs in = {
              .hidden = x[0], .weight = x[1], .teacher_hidden = x[2].detach(), .teacher_weight = x[3].detach()};
          in.labels = labels.to(x[0].device());
          in.kl_weight = 0.6;
          in.ce_weight = 0.4;
          in.chunk_rows = 32;
          return Tensors{LinearLoss(in).loss};
        },
        {Random({70, 64}, 1), Random({vocabulary, 64}, 2), Random({70, 64}, 3), Random({vocabulary, 64}, 4)});
  }
}

INSTANTIATE_TEST_SUITE_P(Types, OperationsGpuTest, testing::Values(at::kFloat, at::kBFloat16),
                         [](const testing::TestParamInfo<at::ScalarType>& info) {
                           return info.param == at::kFloat ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace radlads
