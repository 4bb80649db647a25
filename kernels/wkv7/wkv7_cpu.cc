// wkv7 on the CPU: checks, and the recurrence of kernels/wkv with the delta term.
#include "base/status.h"
#include "kernels/wkv/recurrence.h"
#include "kernels/wkv7/wkv7.h"

namespace radlads {
namespace {

WkvProblem Problem(const WkvShape& shape, const Wkv7Inputs<float>& in) {
  for (const std::span<const float> keys : {in.r, in.log_w, in.k, in.a, in.b}) {
    RADLADS_CHECK(keys.size() == shape.keys())
        << "wkv7: " << keys.size() << " elements, expected " << shape.keys();
  }
  RADLADS_CHECK(in.v.size() == shape.values())
      << "wkv7: v has " << in.v.size() << ", expected " << shape.values();
  RADLADS_CHECK(in.initial_state.empty() || in.initial_state.size() == shape.states());
  RADLADS_CHECK(in.reset.empty() || in.reset.size() == shape.resets());
  return {.shape = shape,
          .r = in.r.data(),
          .log_w = in.log_w.data(),
          .k = in.k.data(),
          .v = in.v.data(),
          .a = in.a.data(),
          .b = in.b.data(),
          .scale = static_cast<float>(in.scale),
          .initial_state = in.initial_state.empty() ? nullptr : in.initial_state.data(),
          .reset = in.reset.empty() ? nullptr : in.reset.data()};
}

}  // namespace

size_t Wkv7CheckpointSize(const WkvShape& shape) {
  return WkvCheckpointSize(shape);
}

void Wkv7Forward(const WkvShape& shape, const Wkv7Inputs<float>& in, const Wkv7Outputs<float>& out,
                 std::span<float> checkpoints) {
  RADLADS_CHECK(out.output.size() == shape.values() && out.final_state.size() == shape.states());
  RADLADS_CHECK(checkpoints.empty() || checkpoints.size() == WkvCheckpointSize(shape));
  WkvForward(Problem(shape, in), out.output.data(), out.final_state.data(),
             checkpoints.empty() ? nullptr : checkpoints.data());
}

void Wkv7Backward(const WkvShape& shape, const Wkv7Inputs<float>& in,
                  std::span<const float> checkpoints, const Wkv7OutputGradients<float>& d_out,
                  const Wkv7Gradients<float>& d_in) {
  RADLADS_CHECK(checkpoints.size() == WkvCheckpointSize(shape));
  RADLADS_CHECK(d_out.output.empty() || d_out.output.size() == shape.values());
  RADLADS_CHECK(d_out.final_state.empty() || d_out.final_state.size() == shape.states());
  for (const std::span<float> keys : {d_in.r, d_in.log_w, d_in.k, d_in.a, d_in.b}) {
    RADLADS_CHECK(keys.size() == shape.keys());
  }
  RADLADS_CHECK(d_in.v.size() == shape.values());
  RADLADS_CHECK(d_in.initial_state.empty() || d_in.initial_state.size() == shape.states());
  WkvBackward(Problem(shape, in), checkpoints.data(),
              {.output = d_out.output.empty() ? nullptr : d_out.output.data(),
               .final_state = d_out.final_state.empty() ? nullptr : d_out.final_state.data()},
              {.r = d_in.r.data(),
               .log_w = d_in.log_w.data(),
               .k = d_in.k.data(),
               .v = d_in.v.data(),
               .a = d_in.a.data(),
               .b = d_in.b.data(),
               .initial_state = d_in.initial_state.empty() ? nullptr : d_in.initial_state.data()});
}

}  // namespace radlads
