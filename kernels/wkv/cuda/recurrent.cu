#include "kernels/wkv/cuda/recurrent.cuh"
#include "kernels/wkv/cuda/wkv_cuda.h"

namespace radlads::cuda {
namespace {

int64_t Blocks(const WkvShape& shape) {
  return shape.batch * shape.heads * ColumnSlices(shape);
}
int64_t Partials(const WkvShape& shape) {
  return ColumnSlices(shape) * 5 * static_cast<int64_t>(shape.keys());
}

}  // namespace

size_t WkvRecurrentCheckpointSize(const WkvShape& shape) {
  return shape.states() * ReplayChunks(shape);
}

size_t WkvRecurrentScratchSize(const WkvShape& shape) {
  return Partials(shape) + Blocks(shape) * kWkvReplayTokens * shape.key_dim * kColumns;
}

Error WkvRecurrentForward(const WkvRecurrentInputs& in, float* output, float* final_state,
                          float* checkpoints, Stream stream) {
  return Launch(
      in.a != nullptr ? WkvRecurrentForwardKernel<true> : WkvRecurrentForwardKernel<false>,
      Blocks(in.shape), 1, kRecurrentThreads, SharedBytes(in.shape.key_dim, 1), stream,
      RecurrentForwardParameters{in, output, final_state, checkpoints});
}

Error WkvRecurrentBackward(const WkvRecurrentInputs& in, const float* checkpoints,
                           const WkvRecurrentGradients& gradients, float* scratch, Stream stream) {
  const RecurrentBackwardParameters parameters = {in, checkpoints, gradients, scratch,
                                                  scratch + Partials(in.shape)};
  const Error error = Launch(
      in.a != nullptr ? WkvRecurrentBackwardKernel<true> : WkvRecurrentBackwardKernel<false>,
      Blocks(in.shape), 1, kRecurrentThreads, SharedBytes(in.shape.key_dim, 2), stream, parameters);
  if (error != 0) return error;
  return Launch(WkvRecurrentSumKernel, (static_cast<int64_t>(in.shape.keys()) + 255) / 256, 1, 256,
                0, stream, parameters);
}

}  // namespace radlads::cuda
