// The fused CPU path of SwiGlu on plain memory; formulas as in swiglu.h. Arrays are contiguous.
#ifndef RADLADS_KERNELS_SWIGLU_SWIGLU_CPU_H_
#define RADLADS_KERNELS_SWIGLU_SWIGLU_CPU_H_

#include <cstdint>

namespace radlads {

// [count] each, all bf16 or all fp32.
void SwiGluForwardCpu(int64_t count, bool bf16, const void* gate, const void* up, void* y);
void SwiGluBackwardCpu(int64_t count, bool bf16, const void* gate, const void* up, const void* dy, void* d_gate,
                       void* d_up);

}  // namespace radlads

#endif  // RADLADS_KERNELS_SWIGLU_SWIGLU_CPU_H_
