#ifndef RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_REFERENCE_H_
#define RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_REFERENCE_H_

#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

namespace radlads {

// Rwkv7Prepare composed of ATen operations: any float dtype and device, differentiable.
Rwkv7Operands Rwkv7PrepareReference(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                                    const at::Tensor& sin, bool balance_state,
                                    std::optional<at::ScalarType> output_type = std::nullopt);

}  // namespace radlads

#endif  // RADLADS_KERNELS_RWKV7_PREPARE_RWKV7_PREPARE_REFERENCE_H_
