#include "kernels/wkv/cuda/chunked_backward.cuh"
#include "kernels/wkv/cuda/chunked_forward.cuh"
#include "kernels/wkv/cuda/wkv_cuda.h"

namespace radlads::cuda {
namespace {

// Calls run.template operator()<D, kDelta>() for the problem's head size and kind.
template <typename Run>
Error Dispatch(const WkvChunkedInputs& in, const Run& run) {
  const bool delta = in.a != nullptr;
  if (in.shape.key_dim == 64)
    return delta ? run.template operator()<64, true>() : run.template operator()<64, false>();
  return delta ? run.template operator()<128, true>() : run.template operator()<128, false>();
}

}  // namespace

bool WkvChunkedTakes(const WkvShape& shape) {
  return shape.key_dim == shape.value_dim && (shape.key_dim == 64 || shape.key_dim == 128);
}

Error WkvChunkedForward(const WkvChunkedInputs& in, Bf16* output, float* final_state,
                        const WkvChunkedSaved& saved, Stream stream) {
  return Dispatch(in, [&]<int D, bool kDelta>() {
    return Launch(WkvChunkedForwardKernel<D, kDelta>, in.shape.batch * in.shape.heads, 1,
                  kThreads<D>, WalkMemory<D, kDelta>::kBytes, stream,
                  WkvForwardParameters{in, output, final_state, saved});
  });
}

Error WkvChunkedBackward(const WkvChunkedInputs& in, const WkvChunkedSaved& saved,
                         const WkvChunkedGradients& gradients, Stream stream) {
  return Dispatch(in, [&]<int D, bool kDelta>() {
    const int64_t heads = in.shape.batch * in.shape.heads;
    const WkvBackwardParameters parameters = {in, saved, gradients};
    const Error error = Launch(WkvChunkedBackwardScanKernel<D, kDelta>, heads, 1, kThreads<D>,
                               WalkMemory<D, kDelta>::kBytes, stream, parameters);
    if (error != 0) return error;
    return Launch(WkvChunkedBackwardChunksKernel<D, kDelta>, heads * WkvChunks(in.shape.time), 1,
                  kThreads<D>, ChunkGradientTiles<D, kDelta>::kBytes, stream, parameters);
  });
}

}  // namespace radlads::cuda
