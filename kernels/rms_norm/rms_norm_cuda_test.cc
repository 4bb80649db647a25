// The tests of rms_norm_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rms_norm/rms_norm_kernels.h"
#include "kernels/rms_norm/rms_norm_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/rms_norm/rms_norm_cuda.cu"

namespace radlads {
namespace {

void ReadArguments(GuardedArguments& guarded, RmsNormArguments& p) {
  guarded.Read(&p.x, p.rows * p.width, p.x_bf16);
  guarded.Read(&p.weight, p.width);
}

const InPlaceOfCpu forward(rms_norm_forward, [](const RmsNormArguments& given, void* y) {
  RmsNormArguments p = given;
  GuardedArguments guarded;
  ReadArguments(guarded, p);
  guarded.Write(&y, p.rows * p.width, p.y_bf16);
  RADLADS_CHECK(cuda::RmsNormForward(p, y, nullptr) == 0);
});

const InPlaceOfCpu backward(rms_norm_backward,
                            [](const RmsNormArguments& given, const void* dy, void* dx, float* d_weight) {
                              RmsNormArguments p = given;
                              GuardedArguments guarded;
                              ReadArguments(guarded, p);
                              guarded.Read(&dy, p.rows * p.width, p.y_bf16);
                              guarded.Write(&dx, p.rows * p.width, p.x_bf16);
                              guarded.Write(&d_weight, p.width);
                              float* scratch = guarded.Scratch(cuda::RmsNormScratchSize(p));
                              RADLADS_CHECK(cuda::RmsNormBackward(p, dy, dx, d_weight, scratch, nullptr) == 0);
                            });

Operation Bind(at::Tensor (*f)(const at::Tensor&, const at::Tensor&, double, at::ScalarType), at::ScalarType out) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], x[1], 1e-6, out)}; };
}

void ExpectRight(int64_t rows, int64_t width) {
  const Tensors x = {RandomTensor({rows, width}, 1, at::kBFloat16), RandomTensor({width}, 2)};
  ExpectMatchesReference(Bind(RmsNorm, at::kBFloat16), Bind(RmsNormReference, at::kDouble), x, 5e-3, 5e-3,
                         Concatenate("[", rows, ",", width, "]"));
}

// Rows given to blocks of several sizes, and so wide that their sums find no room in shared memory.
TEST(RmsNormCuda, LongRows) {
  for (const int64_t width : {1025, 1032, 4096, 24608}) ExpectRight(width > 4096 ? 2 : 20, width);
}

TEST(RmsNormCuda, ManyRowsInEveryTeam) {
  ExpectRight(3000, 16);
}

TEST(RmsNormCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(5, 64);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
