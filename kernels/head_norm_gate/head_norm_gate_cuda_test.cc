// The tests of head_norm_gate_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/head_norm_gate/head_norm_gate.h"
#include "kernels/head_norm_gate/head_norm_gate_kernels.h"
#include "kernels/head_norm_gate/head_norm_gate_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/head_norm_gate/head_norm_gate_cuda.cu"

namespace radlads {
namespace {

void ReadArguments(GuardedArguments& guarded, HeadNormGateArguments& p) {
  const int64_t width = p.heads * p.head_dim;
  guarded.Read(&p.o, p.rows * width, p.o_bf16);
  guarded.Read(&p.weight, width);
  guarded.Read(&p.bias, width);
  guarded.Read(&p.gate, p.rows * width, p.gate_bf16);
}

const InPlaceOfCpu forward(head_norm_gate_forward, [](const HeadNormGateArguments& given, void* y) {
  HeadNormGateArguments p = given;
  GuardedArguments guarded;
  ReadArguments(guarded, p);
  guarded.Write(&y, p.rows * p.heads * p.head_dim, p.out_bf16);
  RADLADS_CHECK(cuda::HeadNormGateForward(p, y, nullptr) == 0);
});

const InPlaceOfCpu backward(head_norm_gate_backward,
                            [](const HeadNormGateArguments& given, const HeadNormGateGradients& given_d) {
                              HeadNormGateArguments p = given;
                              HeadNormGateGradients d = given_d;
                              const int64_t width = p.heads * p.head_dim;
                              GuardedArguments guarded;
                              ReadArguments(guarded, p);
                              guarded.Read(&d.dy, p.rows * width, p.out_bf16);
                              guarded.Write(&d.d_o, p.rows * width, p.o_bf16);
                              guarded.Write(&d.d_weight, width);
                              guarded.Write(&d.d_bias, width);
                              guarded.Write(&d.d_gate, p.rows * width, p.gate_bf16);
                              float* scratch = guarded.Scratch(cuda::HeadNormGateScratchSize(p));
                              RADLADS_CHECK(cuda::HeadNormGateBackward(p, d, scratch, nullptr) == 0);
                            });

template <class F>
Operation Bind(const F& f) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], x[1], x[2], 1e-3, 1, x[3], true, at::kFloat)}; };
}

void ExpectRight(int64_t time, int64_t heads, int64_t head_dim) {
  const int64_t width = heads * head_dim;
  const Tensors x = {RandomTensor({1, time, heads, head_dim}, 1), RandomTensor({width}, 2), RandomTensor({width}, 3),
                     RandomTensor({1, time, width}, 4)};
  ExpectMatchesReference(Bind(HeadNormGate), Bind(HeadNormGateReference), x, 1e-6, 2e-6,
                         Concatenate("T=", time, " H=", heads, " V=", head_dim));
}

TEST(HeadNormGateCuda, HeadsOfManyPacks) {
  ExpectRight(5, 2, 520);
  ExpectRight(3, 2, 1048);
}

TEST(HeadNormGateCuda, ManyRowsInEveryTeam) {
  ExpectRight(1200, 2, 16);
}

TEST(HeadNormGateCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(5, 2, 64);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
