// The tests of l2_distance_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/l2_distance/l2_distance.h"
#include "kernels/l2_distance/l2_distance_kernels.h"
#include "kernels/l2_distance/l2_distance_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/l2_distance/l2_distance_cuda.cu"

namespace radlads {
namespace {

void ReadArguments(GuardedArguments& guarded, L2DistanceArguments& p) {
  guarded.Read(&p.target, p.rows * p.width, p.target_bf16);
  guarded.Read(&p.x, p.rows * p.width, p.x_bf16);
}

const InPlaceOfCpu forward(l2_distance_forward,
                           [](const L2DistanceArguments& given, double scale, float* norms, float* loss) {
                             L2DistanceArguments p = given;
                             GuardedArguments guarded;
                             ReadArguments(guarded, p);
                             guarded.Write(&norms, p.rows);
                             guarded.Write(&loss, 1);
                             RADLADS_CHECK(cuda::L2DistanceForward(p, scale, norms, loss, nullptr) == 0);
                           });

const InPlaceOfCpu backward(l2_distance_backward, [](const L2DistanceArguments& given, const float* norms, double scale,
                                                     const float* d_loss, void* dx) {
  L2DistanceArguments p = given;
  GuardedArguments guarded;
  ReadArguments(guarded, p);
  guarded.Read(&norms, p.rows);
  guarded.Read(&d_loss, 1);
  guarded.Write(&dx, p.rows * p.width, p.x_bf16);
  RADLADS_CHECK(cuda::L2DistanceBackward(p, norms, scale, d_loss, dx, nullptr) == 0);
});

template <class F>
Operation Bind(const F& f, const at::Tensor& target) {
  return [=](const Tensors& x) -> Tensors { return {f(target.to(x[0].scalar_type()), x[0])}; };
}

void ExpectRight(int64_t rows, int64_t width) {
  const at::Tensor target = RandomTensor({rows, width}, 2);
  ExpectMatchesReference(Bind(L2Distance, target), Bind(L2DistanceReference, target), {RandomTensor({rows, width}, 1)},
                         1e-6, 1e-6, Concatenate("[", rows, ",", width, "]"));
}

TEST(L2DistanceCuda, LongRowsAndManyRows) {
  for (const int64_t width : {1025, 1032, 8200}) ExpectRight(3, width);
  ExpectRight(3000, 8);
}

TEST(L2DistanceCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(5, 64);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
