#ifndef RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_REFERENCE_H_
#define RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_REFERENCE_H_

#include "kernels/linear_loss/linear_loss.h"

namespace radlads {

// LinearLoss and TokenLogProbabilities composed of ATen operations on full logits: any float dtype and device,
// differentiable any number of times. chunk_rows is not used.
LinearLossResult LinearLossReference(const LinearLossInputs& inputs);
at::Tensor TokenLogProbabilitiesReference(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels);

}  // namespace radlads

#endif  // RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_REFERENCE_H_
