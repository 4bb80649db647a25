// HeadNormGate on CUDA: as head_norm_gate_cpu.h, in memory of the current device and on a stream.
//
// Sums have a fixed order, the same on every GPU. NaN stays in its head.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CUDA_H_
#define RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/head_norm_gate/head_norm_gate_cpu.h"

namespace radlads::cuda {

Error HeadNormGateForward(const HeadNormGateArguments& arguments, void* y, Stream stream);

// `scratch` holds HeadNormGateScratchSize floats.
int64_t HeadNormGateScratchSize(const HeadNormGateArguments& arguments);
Error HeadNormGateBackward(const HeadNormGateArguments& arguments, const HeadNormGateGradients& gradients,
                           float* scratch, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CUDA_H_
