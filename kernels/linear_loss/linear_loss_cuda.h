// The softmax of LinearLoss on CUDA: as linear_loss_cpu.h, in memory of the current device and on a stream.
//
// A block has a row: it reads the logits of student and teacher once for their maxima and sums, which it keeps up
// online (Milakov and Gimelshein, 2018, arXiv 1805.02867), and once more for the loss and its derivative, which take
// the place of the student's. Arithmetic is in fp32. NaN stays in its row.
//
// Errors: what CUDA returns. Nothing waits for the device. Thread-safe.
#ifndef RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CUDA_H_
#define RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CUDA_H_

#include "kernels/cuda/types.h"
#include "kernels/linear_loss/linear_loss_cpu.h"

namespace radlads::cuda {

Error LossRows(const LogitChunk& chunk, double* kl, double* ce, Stream stream);

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CUDA_H_
