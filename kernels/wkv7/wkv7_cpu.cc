#include "kernels/wkv7/wkv7.h"
#include "kernels/wkv7/wkv7_reference.h"

namespace radlads {

size_t Wkv7CheckpointSize(const WkvShape& shape) {
  return 0;
}

void Wkv7Forward(const WkvShape& shape, const Wkv7Inputs<float>& in, const Wkv7Outputs<float>& out,
                 std::span<float> checkpoints) {
  Wkv7ReferenceForward(shape, in, out);
}

void Wkv7Backward(const WkvShape& shape, const Wkv7Inputs<float>& in,
                  std::span<const float> checkpoints, const Wkv7OutputGradients<float>& d_out,
                  const Wkv7Gradients<float>& d_in) {
  Wkv7ReferenceBackward(shape, in, d_out, d_in);
}

}  // namespace radlads
