#include "kernels/cuda/torch.h"
#include "kernels/linear_loss/linear_loss_cuda.h"
#include "kernels/linear_loss/linear_loss_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda rows(loss_rows, [](const LogitChunk& chunk, double* kl, double* ce) {
  Check(LossRows(chunk, kl, ce, CurrentStream()), "LinearLoss");
});

}  // namespace
}  // namespace radlads::cuda
