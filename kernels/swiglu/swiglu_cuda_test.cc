// The tests of swiglu_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/swiglu/swiglu_kernels.h"
#include "kernels/swiglu/swiglu_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/swiglu/swiglu_cuda.cu"

namespace radlads {
namespace {

const InPlaceOfCpu forward(swiglu_forward, [](int64_t count, bool bf16, const void* gate, const void* up, void* y) {
  GuardedArguments guarded;
  guarded.Read(&gate, count, bf16);
  guarded.Read(&up, count, bf16);
  guarded.Write(&y, count, bf16);
  RADLADS_CHECK(cuda::SwiGluForward(count, bf16, gate, up, y, nullptr) == 0);
});

const InPlaceOfCpu backward(swiglu_backward, [](int64_t count, bool bf16, const void* gate, const void* up,
                                                const void* dy, void* d_gate, void* d_up) {
  GuardedArguments guarded;
  guarded.Read(&gate, count, bf16);
  guarded.Read(&up, count, bf16);
  guarded.Read(&dy, count, bf16);
  guarded.Write(&d_gate, count, bf16);
  guarded.Write(&d_up, count, bf16);
  RADLADS_CHECK(cuda::SwiGluBackward(count, bf16, gate, up, dy, d_gate, d_up, nullptr) == 0);
});

template <class F>
Operation Bind(const F& f) {
  return [=](const Tensors& x) -> Tensors { return {f(x[0], x[1])}; };
}

TEST(SwiGluCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectMatchesReference(Bind(SwiGlu), Bind(SwiGluReference), {RandomTensor({5, 64}, 1), RandomTensor({5, 64}, 2)},
                         1e-6, 1e-6, "[5,64]");
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
