// The fused CPU path of Rope on plain memory; formulas as in rope.h. Arrays are contiguous.
#ifndef RADLADS_KERNELS_ROPE_ROPE_CPU_H_
#define RADLADS_KERNELS_ROPE_ROPE_CPU_H_

#include <cstdint>

namespace radlads {

struct RopeArguments {
  int64_t batch, time, heads, head_dim;
  const float *cos, *sin;
  bool tables_per_batch;  // [B,T,D] rather than [T,D]
  bool bf16;              // of x and y, else fp32
};

// y = rotation of x, [B,T,H,D] each.
void RopeForwardCpu(const RopeArguments& arguments, const void* x, void* y);
void RopeBackwardCpu(const RopeArguments& arguments, const void* dy, void* dx);

}  // namespace radlads

#endif  // RADLADS_KERNELS_ROPE_ROPE_CPU_H_
