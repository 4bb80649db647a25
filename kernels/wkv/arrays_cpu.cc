#include "kernels/wkv/arrays_cpu.h"

#include "base/status.h"
#include "kernels/wkv/recurrence.h"

namespace radlads {
namespace {

void CheckSize(const char* op, const char* name, size_t size, size_t expected) {
  RADLADS_CHECK(size == expected) << op << ": " << name << " has " << size << " elements, expected " << expected;
}
void CheckSizeIfGiven(const char* op, const char* name, size_t size, size_t expected) {
  if (size != 0) CheckSize(op, name, size, expected);
}

template <typename T>
T* DataIfGiven(std::span<T> span) {
  return span.empty() ? nullptr : span.data();
}

// Contiguous [B,T,H,`width`].
WkvArray Array(const WkvShape& shape, std::span<const float> span, int64_t width) {
  return {DataIfGiven(span), false, shape.time * shape.heads * width, shape.heads * width, width};
}
WkvMutableArray Array(const WkvShape& shape, std::span<float> span, int64_t width) {
  return {DataIfGiven(span), false, shape.time * shape.heads * width, shape.heads * width, width};
}

WkvProblem Problem(const char* op, const WkvShape& shape, const WkvInputs<float>& in) {
  CheckSize(op, "r", in.r.size(), shape.keys());
  CheckSize(op, "log_w", in.log_w.size(), shape.keys());
  CheckSize(op, "k", in.k.size(), shape.keys());
  CheckSize(op, "v", in.v.size(), shape.values());
  CheckSizeIfGiven(op, "a", in.a.size(), shape.keys());
  CheckSize(op, "b", in.b.size(), in.a.size());
  CheckSizeIfGiven(op, "initial_state", in.initial_state.size(), shape.states());
  CheckSizeIfGiven(op, "reset", in.reset.size(), shape.resets());
  return {.shape = shape,
          .r = Array(shape, in.r, shape.key_dim),
          .log_w = Array(shape, in.log_w, shape.key_dim),
          .k = Array(shape, in.k, shape.key_dim),
          .v = Array(shape, in.v, shape.value_dim),
          .a = Array(shape, in.a, shape.key_dim),
          .b = Array(shape, in.b, shape.key_dim),
          .scale = static_cast<float>(in.scale),
          .initial_state = DataIfGiven(in.initial_state),
          .reset = DataIfGiven(in.reset)};
}

}  // namespace

void WkvForward(const char* op, const WkvShape& shape, const WkvInputs<float>& in, const WkvOutputs<float>& out,
                std::span<float> checkpoints) {
  CheckSize(op, "output", out.output.size(), shape.values());
  CheckSize(op, "final_state", out.final_state.size(), shape.states());
  CheckSizeIfGiven(op, "checkpoints", checkpoints.size(), WkvCheckpointSize(shape));
  WkvForward(Problem(op, shape, in), Array(shape, out.output, shape.value_dim), out.final_state.data(),
             DataIfGiven(checkpoints));
}

void WkvBackward(const char* op, const WkvShape& shape, const WkvInputs<float>& in, std::span<const float> checkpoints,
                 const WkvOutputGradients<float>& d_out, const WkvGradients<float>& d_in) {
  CheckSize(op, "checkpoints", checkpoints.size(), WkvCheckpointSize(shape));
  CheckSizeIfGiven(op, "the gradient of output", d_out.output.size(), shape.values());
  CheckSizeIfGiven(op, "the gradient of final_state", d_out.final_state.size(), shape.states());
  CheckSize(op, "the gradient of r", d_in.r.size(), shape.keys());
  CheckSize(op, "the gradient of log_w", d_in.log_w.size(), shape.keys());
  CheckSize(op, "the gradient of k", d_in.k.size(), shape.keys());
  CheckSize(op, "the gradient of v", d_in.v.size(), shape.values());
  CheckSize(op, "the gradient of a", d_in.a.size(), in.a.size());
  CheckSize(op, "the gradient of b", d_in.b.size(), in.b.size());
  CheckSizeIfGiven(op, "the gradient of initial_state", d_in.initial_state.size(), shape.states());
  WkvBackward(Problem(op, shape, in), checkpoints.data(),
              {.output = Array(shape, d_out.output, shape.value_dim), .final_state = DataIfGiven(d_out.final_state)},
              {.r = Array(shape, d_in.r, shape.key_dim),
               .log_w = Array(shape, d_in.log_w, shape.key_dim),
               .k = Array(shape, d_in.k, shape.key_dim),
               .v = Array(shape, d_in.v, shape.value_dim),
               .a = Array(shape, d_in.a, shape.key_dim),
               .b = Array(shape, d_in.b, shape.key_dim),
               .initial_state = DataIfGiven(d_in.initial_state)});
}

}  // namespace radlads
