// The fused CPU path of L2Distance on plain memory; formulas as in l2_distance.h. Arrays are contiguous.
#ifndef RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CPU_H_
#define RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CPU_H_

#include <cstdint>

namespace radlads {

// [rows, width] arrays, each bf16 where its flag says so, else fp32.
struct L2DistanceArguments {
  int64_t rows, width;
  const void *target, *x;
  bool target_bf16, x_bf16;
};

// norms [rows] = ||target - x||_2 of each row, *loss = scale * their sum.
void L2DistanceForwardCpu(const L2DistanceArguments& arguments, double scale, float* norms, float* loss);
// dx (x's dtype) = *d_loss * scale * (x - target) / norm, 0 where the norm is 0.
void L2DistanceBackwardCpu(const L2DistanceArguments& arguments, const float* norms, double scale, const float* d_loss,
                           void* dx);

}  // namespace radlads

#endif  // RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CPU_H_
