// What SwiGlu does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_SWIGLU_SWIGLU_KERNELS_H_
#define RADLADS_KERNELS_SWIGLU_SWIGLU_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/swiglu/swiglu_cpu.h"

namespace radlads {

inline constinit DeviceFunction swiglu_forward(SwiGluForwardCpu);
inline constinit DeviceFunction swiglu_backward(SwiGluBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_SWIGLU_SWIGLU_KERNELS_H_
