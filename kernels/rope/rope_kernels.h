// What Rope does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_ROPE_ROPE_KERNELS_H_
#define RADLADS_KERNELS_ROPE_ROPE_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/rope/rope_cpu.h"

namespace radlads {

inline constinit DeviceFunction rope_forward(RopeForwardCpu);
inline constinit DeviceFunction rope_backward(RopeBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_ROPE_ROPE_KERNELS_H_
