// The tests of rope_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_kernels.h"
#include "kernels/rope/rope_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/rope/rope_cuda.cu"

namespace radlads {
namespace {

template <auto kRun>
void Run(const RopeArguments& given, const void* x, void* y) {
  RopeArguments p = given;
  GuardedArguments guarded;
  const int64_t tokens = p.batch * p.time, tables = p.tables_per_batch ? tokens : p.time;
  guarded.Read(&p.cos, tables * p.head_dim);
  guarded.Read(&p.sin, tables * p.head_dim);
  guarded.Read(&x, tokens * p.heads * p.head_dim, p.bf16);
  guarded.Write(&y, tokens * p.heads * p.head_dim, p.bf16);
  RADLADS_CHECK(kRun(p, x, y, nullptr) == 0);
}

const InPlaceOfCpu forward(rope_forward, Run<cuda::RopeForward>);
const InPlaceOfCpu backward(rope_backward, Run<cuda::RopeBackward>);

template <class F>
Operation Bind(const F& f, const at::Tensor& angles) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], angles.cos(), angles.sin())}; };
}

void ExpectRight(int64_t time, int64_t heads, int64_t head_dim) {
  const at::Tensor angles = RandomTensor({time, head_dim}, 9);
  ExpectMatchesReference(Bind(Rope, angles), Bind(RopeReference, angles), {RandomTensor({2, time, heads, head_dim}, 1)},
                         1e-6, 1e-6, Concatenate("T=", time, " H=", heads, " D=", head_dim));
}

TEST(RopeCuda, TokensOfManyPacks) {
  ExpectRight(3, 28, 128);
  ExpectRight(2, 40, 256);
  ExpectRight(2, 13, 54);
}

TEST(RopeCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(3, 2, 64);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
