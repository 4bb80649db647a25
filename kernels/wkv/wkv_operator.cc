#include "kernels/wkv/wkv_operator.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/wkv/recurrence.h"
#include "kernels/wkv/reference.h"

namespace radlads {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The arguments in one dtype and contiguous, for the recurrence on the CPU.
struct CpuOperands {
  CpuOperands(at::TensorList given, double scale, const OptionalTensor& initial_state, const OptionalTensor& reset)
      : shape(WkvShapeOf(given)),
        type(WkvComputeType(given)),
        scale(scale),
        initial_state(WkvOperand(initial_state, type)),
        reset(WkvOperand(reset, at::kByte)) {
    for (const Tensor& operand : given) operands.push_back(WkvOperand(operand, type));
    operands.resize(6);
  }

  template <typename T>
  WkvInputs<T> Inputs() const {
    return {ConstSpan<T>(operands[0]),
            ConstSpan<T>(operands[1]),
            ConstSpan<T>(operands[2]),
            ConstSpan<T>(operands[3]),
            ConstSpan<T>(operands[4]),
            ConstSpan<T>(operands[5]),
            scale,
            ConstSpan<T>(initial_state),
            ConstSpan<uint8_t>(reset)};
  }
  WkvProblem Problem() const {
    const auto data = [](const Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; };
    return {.shape = shape,
            .r = data(operands[0]),
            .log_w = data(operands[1]),
            .k = data(operands[2]),
            .v = data(operands[3]),
            .a = data(operands[4]),
            .b = data(operands[5]),
            .scale = static_cast<float>(scale),
            .initial_state = data(initial_state),
            .reset = reset.defined() ? reset.const_data_ptr<uint8_t>() : nullptr};
  }

  WkvShape shape;
  at::ScalarType type;
  double scale;
  std::vector<Tensor> operands;  // as kWkvValue says; a and b undefined without the delta term
  Tensor initial_state, reset;
};

c10::OperatorHandle Find(const std::string& name, const char* suffix) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(("radlads::_" + name + suffix).c_str(), "");
}

class WkvFunction : public torch::autograd::Function<WkvFunction> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList operands, const std::string& name, double scale,
                               const OptionalTensor& initial_state, const OptionalTensor& reset) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, final_state, saved] =
        Find(name, "_forward").typed<WkvForwardFunction>().call(operands, scale, initial_state, reset, true);
    // The operands are kept in their own dtype: half the memory for bfloat16.
    variable_list tensors = operands.vec();
    tensors.insert(tensors.end(), {initial_state.value_or(Tensor()), reset.value_or(Tensor())});
    tensors.insert(tensors.end(), saved.begin(), saved.end());
    context->save_for_backward(std::move(tensors));
    context->saved_data["operands"] = static_cast<int64_t>(operands.size());
    context->saved_data["name"] = name;
    context->saved_data["scale"] = scale;
    context->set_materialize_grads(false);
    return {output, final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& d_out) {
    const std::string name = context->saved_data["name"].toStringRef();
    TORCH_CHECK_NOT_IMPLEMENTED(!at::GradMode::is_enabled(), name, ": gradients of gradients are not implemented");
    const size_t operands = context->saved_data["operands"].toInt();
    variable_list d_in(operands + 4);  // the operands, name, scale, initial_state, reset
    if (!d_out[0].defined() && !d_out[1].defined()) return d_in;
    const variable_list tensors = context->get_saved_variables();
    const at::TensorList list(tensors);
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::vector<Tensor> gradients =
        Find(name, "_backward")
            .typed<WkvBackwardFunction>()
            .call(list.slice(0, operands), context->saved_data["scale"].toDouble(), tensors[operands],
                  tensors[operands + 1], list.slice(operands + 2), d_out[0], d_out[1]);
    for (size_t i = 0; i < operands; ++i) d_in[i] = std::move(gradients[i]);
    d_in[operands + 2] = std::move(gradients[operands]);
    return d_in;
  }
};

bool RequiresGradient(const OptionalTensor& tensor) {
  return tensor.has_value() && tensor->defined() && tensor->requires_grad();
}

}  // namespace

std::tuple<Tensor, Tensor, std::vector<Tensor>> WkvForwardCpu(at::TensorList operands, double scale,
                                                              const OptionalTensor& initial_state,
                                                              const OptionalTensor& reset, bool for_backward) {
  const CpuOperands in(operands, scale, initial_state, reset);
  const WkvShape& shape = in.shape;
  const Tensor output = at::empty({shape.batch, shape.time, shape.heads, shape.value_dim}, in.type),
               final_state = at::empty({shape.batch, shape.heads, shape.key_dim, shape.value_dim}, in.type);
  if (in.type == at::kDouble) {
    WkvReferenceForward<double>(shape, in.Inputs<double>(),
                                {MutableSpan<double>(output), MutableSpan<double>(final_state)});
    return {output, final_state, {}};
  }
  std::vector<Tensor> saved;
  if (for_backward) saved.push_back(at::empty({static_cast<int64_t>(WkvCheckpointSize(shape))}, at::kFloat));
  WkvForward(in.Problem(), output.mutable_data_ptr<float>(), final_state.mutable_data_ptr<float>(),
             for_backward ? saved[0].mutable_data_ptr<float>() : nullptr);
  return {output, final_state, std::move(saved)};
}

std::vector<Tensor> WkvBackwardCpu(at::TensorList operands, double scale, const OptionalTensor& initial_state,
                                   const OptionalTensor& reset, at::TensorList saved, const OptionalTensor& d_output,
                                   const OptionalTensor& d_final_state) {
  const CpuOperands in(operands, scale, initial_state, reset);
  const Tensor d_o = WkvOperand(d_output, in.type), d_h = WkvOperand(d_final_state, in.type);
  std::vector<Tensor> d_in;
  for (const Tensor& operand : in.operands) d_in.push_back(operand.defined() ? at::empty_like(operand) : Tensor());
  d_in.push_back(in.initial_state.defined() ? at::empty_like(in.initial_state) : Tensor());
  if (in.type == at::kDouble) {
    WkvReferenceBackward<double>(
        in.shape, in.Inputs<double>(), {ConstSpan<double>(d_o), ConstSpan<double>(d_h)},
        {MutableSpan<double>(d_in[0]), MutableSpan<double>(d_in[1]), MutableSpan<double>(d_in[2]),
         MutableSpan<double>(d_in[3]), MutableSpan<double>(d_in[4]), MutableSpan<double>(d_in[5]),
         MutableSpan<double>(d_in[6])});
  } else {
    const auto data = [](const Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; };
    const auto mutable_data = [](const Tensor& tensor) {
      return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
    };
    WkvBackward(in.Problem(), saved[0].const_data_ptr<float>(), {.output = data(d_o), .final_state = data(d_h)},
                {.r = mutable_data(d_in[0]),
                 .log_w = mutable_data(d_in[1]),
                 .k = mutable_data(d_in[2]),
                 .v = mutable_data(d_in[3]),
                 .a = mutable_data(d_in[4]),
                 .b = mutable_data(d_in[5]),
                 .initial_state = mutable_data(d_in[6])});
  }
  // As the caller counts them: his operands, then the state.
  std::vector<Tensor> result;
  for (size_t i = 0; i < operands.size(); ++i) result.push_back(d_in[i].to(operands[i].scalar_type()));
  result.push_back(d_in[6].defined() ? d_in[6].to(initial_state->scalar_type()) : Tensor());
  return result;
}

std::tuple<Tensor, Tensor> WkvWithAutograd(const std::string& name, at::TensorList operands, double scale,
                                           const OptionalTensor& initial_state, const OptionalTensor& reset) {
  bool differentiate = RequiresGradient(initial_state);
  for (const Tensor& operand : operands) differentiate |= operand.requires_grad();
  if (differentiate && at::GradMode::is_enabled()) {
    const variable_list result = WkvFunction::apply(operands, name, scale, initial_state, reset);
    return {result[0], result[1]};
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const auto [output, final_state, saved] =
      Find(name, "_forward").typed<WkvForwardFunction>().call(operands, scale, initial_state, reset, false);
  return {output, final_state};
}

}  // namespace radlads
