#include "kernels/wkv6/wkv6_op.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/wkv/arguments.h"
#include "kernels/wkv6/wkv6.h"
#include "kernels/wkv6/wkv6_reference.h"

namespace radlads {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr char kOp[] = "radlads::wkv6";

// The arguments in one dtype and contiguous, ready for the kernels.
struct Operands {
  WkvShape shape;
  at::ScalarType type;
  Tensor q, log_w, k, v, initial_state, reset;
  double scale;

  template <typename T>
  Wkv6Inputs<T> Inputs() const {
    return {ConstSpan<T>(q), ConstSpan<T>(log_w),         ConstSpan<T>(k),          ConstSpan<T>(v),
            scale,           ConstSpan<T>(initial_state), ConstSpan<uint8_t>(reset)};
  }
};

Operands Prepare(const Tensor& q, const Tensor& log_w, const Tensor& k, const Tensor& v,
                 double scale, const OptionalTensor& initial_state, const OptionalTensor& reset) {
  const WkvShape shape =
      CheckWkvShape(kOp, {{"q", q}, {"log_w", log_w}, {"k", k}}, v, initial_state, reset);
  const at::ScalarType type =
      WkvComputeType(kOp, {{"q", q},
                           {"log_w", log_w},
                           {"k", k},
                           {"v", v},
                           {"initial_state", initial_state.value_or(Tensor())}});
  return {shape,
          type,
          WkvOperand(q, type),
          WkvOperand(log_w, type),
          WkvOperand(k, type),
          WkvOperand(v, type),
          WkvOperand(initial_state, type),
          WkvOperand(reset, at::kByte),
          scale};
}

struct Forwarded {
  Tensor output, final_state, checkpoints;
};

Forwarded Forward(const Operands& operands, bool keep_checkpoints) {
  const WkvShape& shape = operands.shape;
  Forwarded result;
  result.output = at::empty({shape.batch, shape.time, shape.heads, shape.value_dim}, operands.type);
  result.final_state =
      at::empty({shape.batch, shape.heads, shape.key_dim, shape.value_dim}, operands.type);
  if (operands.type == at::kDouble) {
    Wkv6ReferenceForward<double>(
        shape, operands.Inputs<double>(),
        {MutableSpan<double>(result.output), MutableSpan<double>(result.final_state)});
  } else {
    if (keep_checkpoints) {
      result.checkpoints = at::empty({static_cast<int64_t>(Wkv6CheckpointSize(shape))}, at::kFloat);
    }
    Wkv6Forward(shape, operands.Inputs<float>(),
                {MutableSpan<float>(result.output), MutableSpan<float>(result.final_state)},
                MutableSpan<float>(result.checkpoints));
  }
  return result;
}

std::tuple<Tensor, Tensor> Wkv6Cpu(const Tensor& q, const Tensor& log_w, const Tensor& k,
                                   const Tensor& v, double scale,
                                   const OptionalTensor& initial_state,
                                   const OptionalTensor& reset) {
  const Forwarded result = Forward(Prepare(q, log_w, k, v, scale, initial_state, reset), false);
  return {result.output, result.final_state};
}

class Wkv6Function : public torch::autograd::Function<Wkv6Function> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& q, const Tensor& log_w,
                               const Tensor& k, const Tensor& v, double scale,
                               const OptionalTensor& initial_state, const OptionalTensor& reset) {
    const Forwarded result = Forward(Prepare(q, log_w, k, v, scale, initial_state, reset), true);
    // The inputs are kept in their own dtype and converted again: half the memory for bfloat16.
    context->save_for_backward({q, log_w, k, v, initial_state.value_or(Tensor()),
                                reset.value_or(Tensor()), result.checkpoints});
    context->saved_data["scale"] = scale;
    context->set_materialize_grads(false);
    return {result.output, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_out) {
    TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(), kOp,
                                ": gradients of gradients are not implemented");
    if (!d_out[0].defined() && !d_out[1].defined()) return variable_list(7);
    const variable_list saved = context->get_saved_variables();
    const Operands operands = Prepare(saved[0], saved[1], saved[2], saved[3],
                                      context->saved_data["scale"].toDouble(), saved[4], saved[5]);

    const Tensor d_output = WkvOperand(d_out[0], operands.type),
                 d_final_state = WkvOperand(d_out[1], operands.type);
    const Tensor d_q = at::empty_like(operands.q), d_log_w = at::empty_like(operands.log_w),
                 d_k = at::empty_like(operands.k), d_v = at::empty_like(operands.v),
                 d_initial_state =
                     saved[4].defined() ? at::empty_like(operands.initial_state) : Tensor();
    const auto run = [&]<typename T>(auto backward) {
      backward(Wkv6OutputGradients<T>{ConstSpan<T>(d_output), ConstSpan<T>(d_final_state)},
               Wkv6Gradients<T>{MutableSpan<T>(d_q), MutableSpan<T>(d_log_w), MutableSpan<T>(d_k),
                                MutableSpan<T>(d_v), MutableSpan<T>(d_initial_state)});
    };
    if (operands.type == at::kDouble) {
      run.operator()<double>([&](const auto& d_out, const auto& d_in) {
        Wkv6ReferenceBackward<double>(operands.shape, operands.Inputs<double>(), d_out, d_in);
      });
    } else {
      run.operator()<float>([&](const auto& d_out, const auto& d_in) {
        Wkv6Backward(operands.shape, operands.Inputs<float>(), ConstSpan<float>(saved[6]), d_out,
                     d_in);
      });
    }
    variable_list d_in = {d_q, d_log_w, d_k, d_v, Tensor(), d_initial_state, Tensor()};
    for (size_t i = 0; i < 4; ++i) d_in[i] = d_in[i].to(saved[i].scalar_type());
    if (d_initial_state.defined()) d_in[5] = d_initial_state.to(saved[4].scalar_type());
    return d_in;
  }
};

std::tuple<Tensor, Tensor> Wkv6Autograd(const Tensor& q, const Tensor& log_w, const Tensor& k,
                                        const Tensor& v, double scale,
                                        const OptionalTensor& initial_state,
                                        const OptionalTensor& reset) {
  bool differentiate = false;
  for (const Tensor& tensor : {q, log_w, k, v, initial_state.value_or(Tensor())}) {
    differentiate |= tensor.defined() && tensor.requires_grad();
  }
  if (!differentiate || !at::GradMode::is_enabled())
    return Wkv6Cpu(q, log_w, k, v, scale, initial_state, reset);
  const variable_list result = Wkv6Function::apply(q, log_w, k, v, scale, initial_state, reset);
  return {result[0], result[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(radlads, library) {
  library.def(
      "wkv6(Tensor q, Tensor log_w, Tensor k, Tensor v, float scale, Tensor? initial_state=None, "
      "Tensor? reset=None) -> "
      "(Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(radlads, CPU, library) {
  library.impl("wkv6", Wkv6Cpu);
}
TORCH_LIBRARY_IMPL(radlads, AutogradCPU, library) {
  library.impl("wkv6", Wkv6Autograd);
}

std::pair<Tensor, Tensor> Wkv6(const Tensor& q, const Tensor& log_w, const Tensor& k,
                               const Tensor& v, double scale, const OptionalTensor& initial_state,
                               const OptionalTensor& reset) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow(kOp, "").typed<decltype(Wkv6Cpu)>();
  auto [output, final_state] = op.call(q, log_w, k, v, scale, initial_state, reset);
  return {std::move(output), std::move(final_state)};
}

}  // namespace radlads
