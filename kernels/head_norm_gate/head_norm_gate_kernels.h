// What HeadNormGate does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_KERNELS_H_
#define RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/head_norm_gate/head_norm_gate_cpu.h"

namespace radlads {

inline constinit DeviceFunction head_norm_gate_forward(HeadNormGateForwardCpu);
inline constinit DeviceFunction head_norm_gate_backward(HeadNormGateBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_KERNELS_H_
