#include "kernels/wkv/arguments.h"

#include <ATen/ATen.h>

namespace radlads {
namespace {

bool Given(const OptionalTensor& tensor) {
  return tensor.has_value() && tensor->defined();
}

}  // namespace

void CheckWkvArguments(const char* op, std::span<const char* const> names, at::TensorList operands,
                       const OptionalTensor& initial_state, const OptionalTensor& reset,
                       std::optional<at::ScalarType> output_type) {
  const char* const first_name = names[0];
  const at::Tensor &first = operands[0], &v = operands[kWkvValue];
  TORCH_CHECK_VALUE(first.defined() && first.dim() == 4, op, ": ", first_name, " has ",
                    first.defined() ? first.dim() : 0, " dimensions, expected 4: [batch, time, heads, key_dim]");
  for (size_t i = 0; i < operands.size(); ++i) {
    TORCH_CHECK_VALUE(operands[i].defined(), op, ": ", names[i], " is undefined");
    if (i == kWkvValue) continue;
    TORCH_CHECK_VALUE(operands[i].sizes().equals(first.sizes()), op, ": ", names[i], " has shape ", operands[i].sizes(),
                      ", but ", first_name, " has ", first.sizes(), "; the two must be equal");
  }
  const int64_t B = first.size(0), T = first.size(1), H = first.size(2), K = first.size(3),
                V = v.dim() == 4 ? v.size(3) : -1;
  const auto check_shape = [&](const char* name, const at::Tensor& tensor, at::IntArrayRef expected) {
    TORCH_CHECK_VALUE(tensor.sizes().equals(expected), op, ": ", name, " has shape ", tensor.sizes(), ", expected ",
                      expected, " as ", first_name, " has ", first.sizes());
  };
  check_shape("v", v, {B, T, H, V});
  if (Given(initial_state)) check_shape("initial_state", *initial_state, {B, H, K, V});
  if (Given(reset)) {
    check_shape("reset", *reset, {B, T});
    TORCH_CHECK_VALUE(reset->scalar_type() == at::kBool || reset->scalar_type() == at::kByte, op, ": reset is ",
                      reset->scalar_type(), ", expected bool or uint8");
    TORCH_CHECK_VALUE(reset->device() == first.device(), op, ": reset is on ", reset->device(), ", but ", first_name,
                      " is on ", first.device());
  }

  size_t doubles = 0, tensors = 0;
  const auto check_type = [&](const char* name, const at::Tensor& tensor) {
    const at::ScalarType type = tensor.scalar_type();
    TORCH_CHECK_TYPE(type == at::kDouble || type == at::kFloat || type == at::kBFloat16 || type == at::kHalf, op, ": ",
                     name, " is ", type, ", expected float32, bfloat16, float16, or float64 throughout");
    TORCH_CHECK_VALUE(tensor.device() == first.device(), op, ": ", name, " is on ", tensor.device(), ", but ",
                      first_name, " is on ", first.device());
    ++tensors;
    doubles += type == at::kDouble;
  };
  for (size_t i = 0; i < operands.size(); ++i) check_type(names[i], operands[i]);
  if (Given(initial_state)) check_type("initial_state", *initial_state);
  TORCH_CHECK_TYPE(doubles == 0 || doubles == tensors, op, ": ", doubles, " of ", tensors,
                   " tensors are float64; convert all of them to float64, or none");
  if (output_type.has_value()) {
    TORCH_CHECK_TYPE(
        doubles > 0 ? *output_type == at::kDouble : *output_type == at::kFloat || *output_type == at::kBFloat16, op,
        ": output_type is ", *output_type, ", expected ",
        doubles > 0 ? "float64, as the operands are" : "float32 or bfloat16");
  }
}

WkvShape WkvShapeOf(at::TensorList operands) {
  const at::IntArrayRef keys = operands[0].sizes();
  return {keys[0], keys[1], keys[2], keys[3], operands[kWkvValue].size(3)};
}

at::ScalarType WkvComputeType(at::TensorList operands) {
  return operands[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor WkvOperand(const OptionalTensor& tensor, at::ScalarType type) {
  if (!Given(tensor)) return {};
  return tensor->detach().to(type).contiguous();
}

template <typename T>
std::span<const T> ConstSpan(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.const_data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

template <typename T>
std::span<T> MutableSpan(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.mutable_data_ptr<T>(), static_cast<size_t>(tensor.numel())};
}

template std::span<const float> ConstSpan<float>(const at::Tensor&);
template std::span<const double> ConstSpan<double>(const at::Tensor&);
template std::span<const uint8_t> ConstSpan<uint8_t>(const at::Tensor&);
template std::span<float> MutableSpan<float>(const at::Tensor&);
template std::span<double> MutableSpan<double>(const at::Tensor&);

}  // namespace radlads
