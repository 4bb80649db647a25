// What L2Distance does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_KERNELS_H_
#define RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/l2_distance/l2_distance_cpu.h"

namespace radlads {

inline constinit DeviceFunction l2_distance_forward(L2DistanceForwardCpu);
inline constinit DeviceFunction l2_distance_backward(L2DistanceBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_KERNELS_H_
