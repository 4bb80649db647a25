// The tests of token_shift_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
#include "kernels/token_shift/token_shift.h"
#include "kernels/token_shift/token_shift_kernels.h"
#include "kernels/token_shift/token_shift_reference.h"
// After torch.
#include "kernels/token_shift/token_shift_cuda.cu"

namespace radlads {
namespace {

int64_t ReadArguments(GuardedArguments& guarded, TokenShiftArguments& p) {
  const int64_t rows = p.batch * p.time, count = rows * p.width;
  guarded.Read(&p.x, count, p.bf16);
  guarded.Read(&p.previous, p.batch * p.width);
  guarded.Read(&p.reset, rows);
  guarded.Read(&p.maa, p.mixes * p.width);
  guarded.Read(&p.amounts, p.mixes * count, p.bf16);
  return count;
}

const InPlaceOfCpu forward(token_shift_forward, [](const TokenShiftArguments& given, void* const* y) {
  TokenShiftArguments p = given;
  GuardedArguments guarded;
  const int64_t count = ReadArguments(guarded, p);
  std::vector<void*> mixes(y, y + p.mixes);
  for (void*& mix : mixes) guarded.Write(&mix, count, p.bf16);
  RADLADS_CHECK(cuda::TokenShiftForward(p, mixes.data(), nullptr) == 0);
});

const InPlaceOfCpu backward(token_shift_backward,
                            [](const TokenShiftArguments& given, const TokenShiftGradients& given_d) {
                              TokenShiftArguments p = given;
                              TokenShiftGradients d = given_d;
                              GuardedArguments guarded;
                              const int64_t count = ReadArguments(guarded, p);
                              std::vector<const void*> dy(d.dy, d.dy + p.mixes);
                              for (const void*& mix : dy) guarded.Read(&mix, count, p.bf16);
                              d.dy = dy.data();
                              guarded.Write(&d.dx, count, p.bf16);
                              if (count > 0) guarded.Write(&d.d_previous, p.batch * p.width);
                              guarded.Write(&d.d_maa, p.mixes * p.width);
                              guarded.Write(&d.d_amounts, p.mixes * count, p.bf16);
                              float* scratch = guarded.Scratch(cuda::TokenShiftScratchSize(p));
                              RADLADS_CHECK(cuda::TokenShiftBackward(p, d, scratch, nullptr) == 0);
                            });

template <class F>
Operation Bind(const F& f, const at::Tensor& reset) {
  return [=](const Tensors& x) { return f(x[0], x[1], reset, x[2], x[3]); };
}

void ExpectRight(int64_t batch, int64_t time, int64_t width, int64_t mixes) {
  const Tensors x = {RandomTensor({batch, time, width}, 1), RandomTensor({batch, width}, 2),
                     RandomTensor({mixes, width}, 3), RandomTensor({mixes, batch, time, width}, 4)};
  const at::Tensor reset = RandomTensor({batch, time}, 5).gt(1);
  ExpectMatchesReference(Bind(TokenShift, reset), Bind(TokenShiftReference, reset), x, 1e-6, 2e-6,
                         Concatenate("B=", batch, " T=", time, " C=", width, " N=", mixes));
}

// Rows given to whole blocks, and to several.
TEST(TokenShiftCuda, LongRows) {
  ExpectRight(1, 20, 1096, 2);
  ExpectRight(2, 3, 2056, 1);
  ExpectRight(1, 3, 1001, 8);
}

TEST(TokenShiftCuda, ManyBlocks) {
  ExpectRight(2, 300, 264, 2);
}

TEST(TokenShiftCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(2, 7, 64, 3);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
