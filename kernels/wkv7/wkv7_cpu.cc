#include "base/status.h"
#include "kernels/wkv/arrays_cpu.h"
#include "kernels/wkv/recurrence.h"
#include "kernels/wkv7/wkv7.h"

namespace radlads {
namespace {

// Without it the recurrence would be that of wkv6.
void CheckDeltaTerm(const WkvShape& shape, const Wkv7Inputs<float>& in) {
  RADLADS_CHECK(in.a.size() == shape.keys()) << "wkv7: a has " << in.a.size() << " elements, expected " << shape.keys();
}

}  // namespace

size_t Wkv7CheckpointSize(const WkvShape& shape) {
  return WkvCheckpointSize(shape);
}

void Wkv7Forward(const WkvShape& shape, const Wkv7Inputs<float>& in, const Wkv7Outputs<float>& out,
                 std::span<float> checkpoints) {
  CheckDeltaTerm(shape, in);
  WkvForward("wkv7", shape, in, out, checkpoints);
}

void Wkv7Backward(const WkvShape& shape, const Wkv7Inputs<float>& in, std::span<const float> checkpoints,
                  const Wkv7OutputGradients<float>& d_out, const Wkv7Gradients<float>& d_in) {
  CheckDeltaTerm(shape, in);
  WkvBackward("wkv7", shape, in, checkpoints, d_out, d_in);
}

}  // namespace radlads
