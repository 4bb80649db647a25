// wkv6 on the CPU: checks, and the recurrence of kernels/wkv without the delta term.
#include "base/status.h"
#include "kernels/wkv/recurrence.h"
#include "kernels/wkv6/wkv6.h"

namespace radlads {
namespace {

WkvProblem Problem(const WkvShape& shape, const Wkv6Inputs<float>& in) {
  for (const std::span<const float> keys : {in.q, in.log_w, in.k}) {
    RADLADS_CHECK(keys.size() == shape.keys())
        << "wkv6: " << keys.size() << " elements, expected " << shape.keys();
  }
  RADLADS_CHECK(in.v.size() == shape.values())
      << "wkv6: v has " << in.v.size() << ", expected " << shape.values();
  RADLADS_CHECK(in.initial_state.empty() || in.initial_state.size() == shape.states());
  RADLADS_CHECK(in.reset.empty() || in.reset.size() == shape.resets());
  return {.shape = shape,
          .r = in.q.data(),
          .log_w = in.log_w.data(),
          .k = in.k.data(),
          .v = in.v.data(),
          .a = nullptr,
          .b = nullptr,
          .scale = static_cast<float>(in.scale),
          .initial_state = in.initial_state.empty() ? nullptr : in.initial_state.data(),
          .reset = in.reset.empty() ? nullptr : in.reset.data()};
}

}  // namespace

size_t Wkv6CheckpointSize(const WkvShape& shape) {
  return WkvCheckpointSize(shape);
}

void Wkv6Forward(const WkvShape& shape, const Wkv6Inputs<float>& in, const Wkv6Outputs<float>& out,
                 std::span<float> checkpoints) {
  RADLADS_CHECK(out.output.size() == shape.values() && out.final_state.size() == shape.states());
  RADLADS_CHECK(checkpoints.empty() || checkpoints.size() == WkvCheckpointSize(shape));
  WkvForward(Problem(shape, in), out.output.data(), out.final_state.data(),
             checkpoints.empty() ? nullptr : checkpoints.data());
}

void Wkv6Backward(const WkvShape& shape, const Wkv6Inputs<float>& in,
                  std::span<const float> checkpoints, const Wkv6OutputGradients<float>& d_out,
                  const Wkv6Gradients<float>& d_in) {
  RADLADS_CHECK(checkpoints.size() == WkvCheckpointSize(shape));
  RADLADS_CHECK(d_out.output.empty() || d_out.output.size() == shape.values());
  RADLADS_CHECK(d_out.final_state.empty() || d_out.final_state.size() == shape.states());
  for (const std::span<float> keys : {d_in.q, d_in.log_w, d_in.k}) {
    RADLADS_CHECK(keys.size() == shape.keys());
  }
  RADLADS_CHECK(d_in.v.size() == shape.values());
  RADLADS_CHECK(d_in.initial_state.empty() || d_in.initial_state.size() == shape.states());
  WkvBackward(Problem(shape, in), checkpoints.data(),
              {.output = d_out.output.empty() ? nullptr : d_out.output.data(),
               .final_state = d_out.final_state.empty() ? nullptr : d_out.final_state.data()},
              {.r = d_in.q.data(),
               .log_w = d_in.log_w.data(),
               .k = d_in.k.data(),
               .v = d_in.v.data(),
               .a = nullptr,
               .b = nullptr,
               .initial_state = d_in.initial_state.empty() ? nullptr : d_in.initial_state.data()});
}

}  // namespace radlads
