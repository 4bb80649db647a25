// The fused CPU path of RmsNorm on plain memory; formulas as in rms_norm.h. Arrays are contiguous.
#ifndef RADLADS_KERNELS_RMS_NORM_RMS_NORM_CPU_H_
#define RADLADS_KERNELS_RMS_NORM_RMS_NORM_CPU_H_

#include <cstdint>

namespace radlads {

// x [rows, width] and y [rows, width] are bf16 where the flag says so, else fp32.
struct RmsNormArguments {
  int64_t rows, width;
  const void* x;
  const float* weight;  // [width]
  float eps;
  bool x_bf16, y_bf16;
};

void RmsNormForwardCpu(const RmsNormArguments& arguments, void* y);
// dy as y, dx as x, d_weight [width].
void RmsNormBackwardCpu(const RmsNormArguments& arguments, const void* dy, void* dx, float* d_weight);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RMS_NORM_RMS_NORM_CPU_H_
