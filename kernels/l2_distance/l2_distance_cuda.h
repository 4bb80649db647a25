// L2Distance on CUDA: as l2_distance_cpu.h, in memory of the current device and on a stream.
//
// The sum over rows has a fixed order, the same on every GPU. NaN in a row reaches that row's norm
// and gradient and the loss.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CUDA_H_
#define RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/l2_distance/l2_distance_cpu.h"

namespace radlads::cuda {

Error L2DistanceForward(const L2DistanceArguments& arguments, double scale, float* norms, float* loss, Stream stream);
Error L2DistanceBackward(const L2DistanceArguments& arguments, const float* norms, double scale, const float* d_loss,
                         void* dx, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_L2_DISTANCE_L2_DISTANCE_CUDA_H_
