// What TokenShift does on each kind of device: kernels/device_function.h.
#ifndef RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_KERNELS_H_
#define RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/token_shift/token_shift_cpu.h"

namespace radlads {

inline constinit DeviceFunction token_shift_forward(TokenShiftForwardCpu);
inline constinit DeviceFunction token_shift_backward(TokenShiftBackwardCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_KERNELS_H_
