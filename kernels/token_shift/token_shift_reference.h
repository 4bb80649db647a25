#ifndef RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_REFERENCE_H_
#define RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_REFERENCE_H_

#include <ATen/core/Tensor.h>

#include <vector>

namespace radlads {

// TokenShift composed of ATen operations: any float dtype and device, differentiable.
std::vector<at::Tensor> TokenShiftReference(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                            const at::Tensor& maa, const at::Tensor& amounts);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_REFERENCE_H_
