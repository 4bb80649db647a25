// What RmsNorm does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_RMS_NORM_RMS_NORM_KERNELS_H_
#define RADLADS_KERNELS_RMS_NORM_RMS_NORM_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/rms_norm/rms_norm_cpu.h"

namespace radlads {

inline constinit DeviceFunction rms_norm_forward(RmsNormForwardCpu);
inline constinit DeviceFunction rms_norm_backward(RmsNormBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RMS_NORM_RMS_NORM_KERNELS_H_
