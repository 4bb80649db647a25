// RmsNorm on CUDA: as rms_norm_cpu.h, in memory of the current device and on a stream.
//
// Rows up to 1024 elements are given to (part of) a warp, longer ones to a block. Sums have a fixed
// order, the same on every GPU. NaN stays in its row.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_
#define RADLADS_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/rms_norm/rms_norm_cpu.h"

namespace radlads::cuda {

Error RmsNormForward(const RmsNormArguments& arguments, void* y, Stream stream);

// `scratch` holds RmsNormScratchSize floats.
int64_t RmsNormScratchSize(const RmsNormArguments& arguments);
Error RmsNormBackward(const RmsNormArguments& arguments, const void* dy, void* dx, float* d_weight, float* scratch,
                      Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_RMS_NORM_RMS_NORM_CUDA_H_
