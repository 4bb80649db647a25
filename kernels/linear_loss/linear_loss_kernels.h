// What LinearLoss does on each kind of device, besides its products: kernels/device_function.h.
#ifndef RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_KERNELS_H_
#define RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_KERNELS_H_

#include "kernels/device_function.h"
#include "kernels/linear_loss/linear_loss_cpu.h"

namespace radlads {

inline constinit DeviceFunction loss_rows(LossRowsCpu);

}  // namespace radlads

#endif  // RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_KERNELS_H_
