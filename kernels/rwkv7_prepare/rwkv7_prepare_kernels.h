// What Rwkv7Prepare does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_KERNELS_H_
#define RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cpu.h"

namespace radlads {

inline constinit DeviceFunction rwkv7_prepare_forward(Rwkv7PrepareForwardCpu);
inline constinit DeviceFunction rwkv7_prepare_backward(Rwkv7PrepareBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_KERNELS_H_
