#include "kernels/cuda/torch.h"
#include "kernels/swiglu/swiglu_cuda.h"
#include "kernels/swiglu/swiglu_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(swiglu_forward, [](int64_t count, bool bf16, const void* gate, const void* up, void* y) {
  Check(SwiGluForward(count, bf16, gate, up, y, CurrentStream()), "SwiGlu");
});

const OnCuda backward(swiglu_backward, [](int64_t count, bool bf16, const void* gate, const void* up, const void* dy,
                                          void* d_gate, void* d_up) {
  Check(SwiGluBackward(count, bf16, gate, up, dy, d_gate, d_up, CurrentStream()), "SwiGlu's gradient");
});

}  // namespace
}  // namespace radlads::cuda
