#include "kernels/wkv/wkv_operator.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>

#include "kernels/wkv/recurrence.h"
#include "kernels/wkv/reference.h"

namespace radlads {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A tensor of [B,T,H,N] where it stands in memory, if it is float32 or bfloat16 and N is contiguous; if not, `holder`
// becomes a copy that is.
WkvArray Array(const Tensor& tensor, Tensor& holder) {
  if (!tensor.defined()) return {};
  const bool direct = (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16) &&
                      (tensor.size(3) <= 1 || tensor.stride(3) == 1);
  holder = direct ? tensor : tensor.to(at::kFloat).contiguous();
  return {holder.const_data_ptr(), holder.scalar_type() == at::kBFloat16, holder.stride(0), holder.stride(1),
          holder.stride(2)};
}
WkvMutableArray MutableArray(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.mutable_data_ptr(), tensor.scalar_type() == at::kBFloat16, tensor.stride(0), tensor.stride(1),
          tensor.stride(2)};
}

// The arguments for the float recurrence; holds what the problem points to.
struct FloatArguments {
  FloatArguments(at::TensorList operands, double scale, const OptionalTensor& given_state,
                 const OptionalTensor& given_reset)
      : initial_state(WkvOperand(given_state, at::kFloat)), reset(WkvOperand(given_reset, at::kByte)) {
    std::array<WkvArray, 6> arrays;
    for (size_t i = 0; i < operands.size(); ++i) arrays[i] = Array(operands[i], holders[i]);
    problem = {.shape = WkvShapeOf(operands),
               .r = arrays[0],
               .log_w = arrays[1],
               .k = arrays[2],
               .v = arrays[3],
               .a = arrays[4],
               .b = arrays[5],
               .scale = static_cast<float>(scale),
               .initial_state = initial_state.defined() ? initial_state.const_data_ptr<float>() : nullptr,
               .reset = reset.defined() ? reset.const_data_ptr<uint8_t>() : nullptr};
  }

  std::array<Tensor, 6> holders;
  Tensor initial_state, reset;
  WkvProblem problem;
};

// The arguments for the reference in double.
struct DoubleArguments {
  DoubleArguments(at::TensorList given, double scale, const OptionalTensor& given_state,
                  const OptionalTensor& given_reset)
      : initial_state(WkvOperand(given_state, at::kDouble)), reset(WkvOperand(given_reset, at::kByte)) {
    for (size_t i = 0; i < given.size(); ++i) operands[i] = WkvOperand(given[i], at::kDouble);
    inputs = {.r = ConstSpan<double>(operands[0]),
              .log_w = ConstSpan<double>(operands[1]),
              .k = ConstSpan<double>(operands[2]),
              .v = ConstSpan<double>(operands[3]),
              .a = ConstSpan<double>(operands[4]),
              .b = ConstSpan<double>(operands[5]),
              .scale = scale,
              .initial_state = ConstSpan<double>(initial_state),
              .reset = ConstSpan<uint8_t>(reset)};
  }

  std::array<Tensor, 6> operands;
  Tensor initial_state, reset;
  WkvInputs<double> inputs;
};

c10::OperatorHandle Find(const std::string& name, const char* suffix) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(("radlads::_" + name + suffix).c_str(), "");
}

class WkvFunction : public torch::autograd::Function<WkvFunction> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList operands, const std::string& name, double scale,
                               const OptionalTensor& initial_state, const OptionalTensor& reset,
                               at::ScalarType output_type) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, final_state, saved] =
        Find(name, "_forward")
            .typed<WkvForwardFunction>()
            .call(operands, scale, initial_state, reset, output_type, /*for_backward=*/true, /*into=*/{});
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
    variable_list d_in(operands + 5);  // the operands, name, scale, initial_state, reset, output_type
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
                                                              const OptionalTensor& reset, at::ScalarType output_type,
                                                              bool for_backward, const OptionalTensor& into) {
  const WkvShape shape = WkvShapeOf(operands);
  const at::ScalarType type = WkvComputeType(operands);
  const Tensor output = at::empty({shape.batch, shape.time, shape.heads, shape.value_dim}, output_type),
               final_state = into ? *into : at::empty({shape.batch, shape.heads, shape.key_dim, shape.value_dim}, type);
  if (type == at::kDouble) {
    const DoubleArguments arguments(operands, scale, initial_state, reset);
    WkvReferenceForward<double>(shape, arguments.inputs,
                                {MutableSpan<double>(output), MutableSpan<double>(final_state)});
    return {output, final_state, {}};
  }
  std::vector<Tensor> saved;
  if (for_backward) saved.push_back(at::empty({static_cast<int64_t>(WkvCheckpointSize(shape))}, at::kFloat));
  const FloatArguments arguments(operands, scale, initial_state, reset);
  WkvForward(arguments.problem, MutableArray(output), final_state.mutable_data_ptr<float>(),
             for_backward ? saved[0].mutable_data_ptr<float>() : nullptr);
  return {output, final_state, std::move(saved)};
}

std::vector<Tensor> WkvBackwardCpu(at::TensorList operands, double scale, const OptionalTensor& initial_state,
                                   const OptionalTensor& reset, at::TensorList saved, const OptionalTensor& d_output,
                                   const OptionalTensor& d_final_state) {
  const at::ScalarType type = WkvComputeType(operands);
  // Gradients of float32 and bfloat16 operands are written in their dtype, others in that of the arithmetic.
  std::array<Tensor, 7> d;
  for (size_t i = 0; i < operands.size(); ++i) {
    d[i] = at::empty(operands[i].sizes(), operands[i].scalar_type() == at::kBFloat16 ? at::kBFloat16 : type);
  }
  if (initial_state.has_value() && initial_state->defined()) d[6] = at::empty(initial_state->sizes(), type);
  const Tensor d_h = WkvOperand(d_final_state, type);
  if (type == at::kDouble) {
    const DoubleArguments arguments(operands, scale, initial_state, reset);
    const Tensor d_o = WkvOperand(d_output, type);
    WkvReferenceBackward<double>(WkvShapeOf(operands), arguments.inputs,
                                 {ConstSpan<double>(d_o), ConstSpan<double>(d_h)},
                                 {.r = MutableSpan<double>(d[0]),
                                  .log_w = MutableSpan<double>(d[1]),
                                  .k = MutableSpan<double>(d[2]),
                                  .v = MutableSpan<double>(d[3]),
                                  .a = MutableSpan<double>(d[4]),
                                  .b = MutableSpan<double>(d[5]),
                                  .initial_state = MutableSpan<double>(d[6])});
  } else {
    const FloatArguments arguments(operands, scale, initial_state, reset);
    Tensor holder;
    WkvBackward(arguments.problem, saved[0].const_data_ptr<float>(),
                {.output = Array(d_output.value_or(Tensor()), holder),
                 .final_state = d_h.defined() ? d_h.const_data_ptr<float>() : nullptr},
                {.r = MutableArray(d[0]),
                 .log_w = MutableArray(d[1]),
                 .k = MutableArray(d[2]),
                 .v = MutableArray(d[3]),
                 .a = MutableArray(d[4]),
                 .b = MutableArray(d[5]),
                 .initial_state = d[6].defined() ? d[6].mutable_data_ptr<float>() : nullptr});
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < operands.size(); ++i) result.push_back(d[i].to(operands[i].scalar_type()));
  result.push_back(d[6].defined() ? d[6].to(initial_state->scalar_type()) : Tensor());
  return result;
}

std::tuple<Tensor, Tensor> WkvWithAutograd(const std::string& name, at::TensorList operands, double scale,
                                           const OptionalTensor& initial_state, const OptionalTensor& reset,
                                           std::optional<at::ScalarType> given_type) {
  const at::ScalarType output_type = given_type.value_or(WkvComputeType(operands));
  bool differentiate = RequiresGradient(initial_state);
  for (const Tensor& operand : operands) differentiate |= operand.requires_grad();
  if (differentiate && at::GradMode::is_enabled()) {
    const variable_list result = WkvFunction::apply(operands, name, scale, initial_state, reset, output_type);
    return {result[0], result[1]};
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const auto [output, final_state, saved] =
      Find(name, "_forward")
          .typed<WkvForwardFunction>()
          .call(operands, scale, initial_state, reset, output_type, /*for_backward=*/false, /*into=*/{});
  return {output, final_state};
}

bool CanBeOverwritten(const OptionalTensor& state, at::TensorList operands) {
  if (!state || !state->defined() || state->use_count() != 1 || state->storage().use_count() != 1) return false;
  // What is not resizable is memory of others: a mapped file perhaps.
  if (!state->storage().unsafeGetStorageImpl()->resizable() || !state->is_contiguous()) return false;
  if (state->scalar_type() != at::kFloat || WkvComputeType(operands) != at::kFloat) return false;
  return !at::GradMode::is_enabled() ||
         !(state->requires_grad() || std::any_of(operands.begin(), operands.end(),
                                                 [](const Tensor& operand) { return operand.requires_grad(); }));
}

Tensor WkvInPlace(const std::string& name, at::TensorList operands, double scale, const Tensor& state,
                  const OptionalTensor& reset, std::optional<at::ScalarType> output_type) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  auto [output, final_state, saved] =
      Find(name, "_forward")
          .typed<WkvForwardFunction>()
          .call(operands, scale, state, reset, output_type.value_or(WkvComputeType(operands)), false, state);
  return output;
}

}  // namespace radlads
