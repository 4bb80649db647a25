#include "kernels/wkv/arrays_cpu.h"
#include "kernels/wkv/recurrence.h"
#include "kernels/wkv6/wkv6.h"

namespace radlads {

size_t Wkv6CheckpointSize(const WkvShape& shape) {
  return WkvCheckpointSize(shape);
}

void Wkv6Forward(const WkvShape& shape, const Wkv6Inputs<float>& in, const Wkv6Outputs<float>& out,
                 std::span<float> checkpoints) {
  WkvForward("wkv6", shape, in, out, checkpoints);
}

void Wkv6Backward(const WkvShape& shape, const Wkv6Inputs<float>& in, std::span<const float> checkpoints,
                  const Wkv6OutputGradients<float>& d_out, const Wkv6Gradients<float>& d_in) {
  WkvBackward("wkv6", shape, in, checkpoints, d_out, d_in);
}

}  // namespace radlads
