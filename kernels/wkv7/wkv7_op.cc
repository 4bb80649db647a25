#include "kernels/wkv7/wkv7_op.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/wkv/arguments.h"
#include "kernels/wkv7/wkv7.h"
#include "kernels/wkv7/wkv7_reference.h"

namespace radlads {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr char kOp[] = "radlads::wkv7";

// The arguments in one dtype and contiguous, ready for the kernels.
struct Operands {
  WkvShape shape;
  at::ScalarType type;
  Tensor r, log_w, k, v, a, b, initial_state, reset;
  double scale;

  template <typename T>
  Wkv7Inputs<T> Inputs() const {
    return {
        ConstSpan<T>(r),          ConstSpan<T>(log_w), ConstSpan<T>(k), ConstSpan<T>(v),
        ConstSpan<T>(a),          ConstSpan<T>(b),     scale,           ConstSpan<T>(initial_state),
        ConstSpan<uint8_t>(reset)};
  }
};

Operands Prepare(const Tensor& r, const Tensor& log_w, const Tensor& k, const Tensor& v,
                 const Tensor& a, const Tensor& b, double scale,
                 const OptionalTensor& initial_state, const OptionalTensor& reset) {
  const WkvShape shape = CheckWkvShape(
      kOp, {{"r", r}, {"log_w", log_w}, {"k", k}, {"a", a}, {"b", b}}, v, initial_state, reset);
  const at::ScalarType type =
      WkvComputeType(kOp, {{"r", r},
                           {"log_w", log_w},
                           {"k", k},
                           {"v", v},
                           {"a", a},
                           {"b", b},
                           {"initial_state", initial_state.value_or(Tensor())}});
  return {shape,
          type,
          WkvOperand(r, type),
          WkvOperand(log_w, type),
          WkvOperand(k, type),
          WkvOperand(v, type),
          WkvOperand(a, type),
          WkvOperand(b, type),
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
    Wkv7ReferenceForward<double>(
        shape, operands.Inputs<double>(),
        {MutableSpan<double>(result.output), MutableSpan<double>(result.final_state)});
  } else {
    if (keep_checkpoints) {
      result.checkpoints = at::empty({static_cast<int64_t>(Wkv7CheckpointSize(shape))}, at::kFloat);
    }
    Wkv7Forward(shape, operands.Inputs<float>(),
                {MutableSpan<float>(result.output), MutableSpan<float>(result.final_state)},
                MutableSpan<float>(result.checkpoints));
  }
  return result;
}

std::tuple<Tensor, Tensor> Wkv7Cpu(const Tensor& r, const Tensor& log_w, const Tensor& k,
                                   const Tensor& v, const Tensor& a, const Tensor& b, double scale,
                                   const OptionalTensor& initial_state,
                                   const OptionalTensor& reset) {
  const Forwarded result =
      Forward(Prepare(r, log_w, k, v, a, b, scale, initial_state, reset), false);
  return {result.output, result.final_state};
}

class Wkv7Function : public torch::autograd::Function<Wkv7Function> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& r, const Tensor& log_w,
                               const Tensor& k, const Tensor& v, const Tensor& a, const Tensor& b,
                               double scale, const OptionalTensor& initial_state,
                               const OptionalTensor& reset) {
    const Forwarded result =
        Forward(Prepare(r, log_w, k, v, a, b, scale, initial_state, reset), true);
    // The inputs are kept in their own dtype and converted again: half the memory for bfloat16.
    context->save_for_backward({r, log_w, k, v, a, b, initial_state.value_or(Tensor()),
                                reset.value_or(Tensor()), result.checkpoints});
    context->saved_data["scale"] = scale;
    context->set_materialize_grads(false);
    return {result.output, result.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_out) {
    TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(), kOp,
                                ": gradients of gradients are not implemented");
    if (!d_out[0].defined() && !d_out[1].defined()) return variable_list(9);
    const variable_list saved = context->get_saved_variables();
    const Operands operands = Prepare(saved[0], saved[1], saved[2], saved[3], saved[4], saved[5],
                                      context->saved_data["scale"].toDouble(), saved[6], saved[7]);

    const Tensor d_output = WkvOperand(d_out[0], operands.type),
                 d_final_state = WkvOperand(d_out[1], operands.type);
    const Tensor d_r = at::empty_like(operands.r), d_log_w = at::empty_like(operands.log_w),
                 d_k = at::empty_like(operands.k), d_v = at::empty_like(operands.v),
                 d_a = at::empty_like(operands.a), d_b = at::empty_like(operands.b),
                 d_initial_state =
                     saved[6].defined() ? at::empty_like(operands.initial_state) : Tensor();
    const auto run = [&]<typename T>(auto backward) {
      backward(Wkv7OutputGradients<T>{ConstSpan<T>(d_output), ConstSpan<T>(d_final_state)},
               Wkv7Gradients<T>{MutableSpan<T>(d_r), MutableSpan<T>(d_log_w), MutableSpan<T>(d_k),
                                MutableSpan<T>(d_v), MutableSpan<T>(d_a), MutableSpan<T>(d_b),
                                MutableSpan<T>(d_initial_state)});
    };
    if (operands.type == at::kDouble) {
      run.operator()<double>([&](const auto& d_out, const auto& d_in) {
        Wkv7ReferenceBackward<double>(operands.shape, operands.Inputs<double>(), d_out, d_in);
      });
    } else {
      run.operator()<float>([&](const auto& d_out, const auto& d_in) {
        Wkv7Backward(operands.shape, operands.Inputs<float>(), ConstSpan<float>(saved[8]), d_out,
                     d_in);
      });
    }
    variable_list d_in = {d_r, d_log_w, d_k, d_v, d_a, d_b, Tensor(), d_initial_state, Tensor()};
    for (size_t i = 0; i < 6; ++i) d_in[i] = d_in[i].to(saved[i].scalar_type());
    if (d_initial_state.defined()) d_in[7] = d_initial_state.to(saved[6].scalar_type());
    return d_in;
  }
};

std::tuple<Tensor, Tensor> Wkv7Autograd(const Tensor& r, const Tensor& log_w, const Tensor& k,
                                        const Tensor& v, const Tensor& a, const Tensor& b,
                                        double scale, const OptionalTensor& initial_state,
                                        const OptionalTensor& reset) {
  bool differentiate = false;
  for (const Tensor& tensor : {r, log_w, k, v, a, b, initial_state.value_or(Tensor())}) {
    differentiate |= tensor.defined() && tensor.requires_grad();
  }
  if (!differentiate || !at::GradMode::is_enabled())
    return Wkv7Cpu(r, log_w, k, v, a, b, scale, initial_state, reset);
  const variable_list result =
      Wkv7Function::apply(r, log_w, k, v, a, b, scale, initial_state, reset);
  return {result[0], result[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(radlads, library) {
  library.def(
      "wkv7(Tensor r, Tensor log_w, Tensor k, Tensor v, Tensor a, Tensor b, float scale, Tensor? "
      "initial_state=None, "
      "Tensor? reset=None) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(radlads, CPU, library) {
  library.impl("wkv7", Wkv7Cpu);
}
TORCH_LIBRARY_IMPL(radlads, AutogradCPU, library) {
  library.impl("wkv7", Wkv7Autograd);
}

std::pair<Tensor, Tensor> Wkv7(const Tensor& r, const Tensor& log_w, const Tensor& k,
                               const Tensor& v, const Tensor& a, const Tensor& b, double scale,
                               const OptionalTensor& initial_state, const OptionalTensor& reset) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow(kOp, "").typed<decltype(Wkv7Cpu)>();
  auto [output, final_state] = op.call(r, log_w, k, v, a, b, scale, initial_state, reset);
  return {std::move(output), std::move(final_state)};
}

}  // namespace radlads
