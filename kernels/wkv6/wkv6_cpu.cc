#include "kernels/wkv6/wkv6.h"
#include "kernels/wkv6/wkv6_reference.h"

namespace radlads {

size_t Wkv6CheckpointSize(const WkvShape& shape) {
  return 0;
}

void Wkv6Forward(const WkvShape& shape, const Wkv6Inputs<float>& in, const Wkv6Outputs<float>& out,
                 std::span<float> checkpoints) {
  Wkv6ReferenceForward(shape, in, out);
}

void Wkv6Backward(const WkvShape& shape, const Wkv6Inputs<float>& in,
                  std::span<const float> checkpoints, const Wkv6OutputGradients<float>& d_out,
                  const Wkv6Gradients<float>& d_in) {
  Wkv6ReferenceBackward(shape, in, d_out, d_in);
}

}  // namespace radlads
