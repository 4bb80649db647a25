#include "kernels/wkv/arguments.h"

#include <ATen/ATen.h>

namespace radlads {

WkvShape CheckWkvShape(const char* op, const NamedTensors& keys, const at::Tensor& v,
                       const std::optional<at::Tensor>& initial_state,
                       const std::optional<at::Tensor>& reset) {
  const auto& [first_name, first] = keys.front();
  TORCH_CHECK_VALUE(first.defined() && first.dim() == 4, op, ": ", first_name, " has ",
                    first.defined() ? first.dim() : 0,
                    " dimensions, expected 4: [batch, time, heads, key_dim]");
  for (const auto& [name, tensor] : keys) {
    TORCH_CHECK_VALUE(tensor.defined() && tensor.sizes().equals(first.sizes()), op, ": ", name,
                      " has shape ", tensor.sizes(), ", but ", first_name, " has ", first.sizes(),
                      "; the two must be equal");
    TORCH_CHECK_VALUE(tensor.device().is_cpu(), op, ": ", name, " is on ", tensor.device(),
                      ", expected the CPU");
  }
  const WkvShape shape{first.size(0), first.size(1), first.size(2), first.size(3),
                       v.dim() == 4 ? v.size(3) : -1};
  const auto check = [&](const char* name, const at::Tensor& tensor, at::IntArrayRef expected) {
    TORCH_CHECK_VALUE(tensor.sizes().equals(expected), op, ": ", name, " has shape ",
                      tensor.sizes(), ", expected ", expected, " as ", first_name, " has ",
                      first.sizes());
    TORCH_CHECK_VALUE(tensor.device().is_cpu(), op, ": ", name, " is on ", tensor.device(),
                      ", expected the CPU");
  };
  check("v", v, {shape.batch, shape.time, shape.heads, shape.value_dim});
  if (initial_state.has_value() && initial_state->defined()) {
    check("initial_state", *initial_state,
          {shape.batch, shape.heads, shape.key_dim, shape.value_dim});
  }
  if (reset.has_value() && reset->defined()) {
    check("reset", *reset, {shape.batch, shape.time});
    TORCH_CHECK_VALUE(reset->scalar_type() == at::kBool || reset->scalar_type() == at::kByte, op,
                      ": reset is ", reset->scalar_type(), ", expected bool or uint8");
  }
  return shape;
}

at::ScalarType WkvComputeType(const char* op, const NamedTensors& tensors) {
  size_t doubles = 0, defined = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) continue;
    ++defined;
    const at::ScalarType type = tensor.scalar_type();
    TORCH_CHECK_TYPE(
        type == at::kDouble || type == at::kFloat || type == at::kBFloat16 || type == at::kHalf, op,
        ": ", name, " is ", type, ", expected float32, bfloat16, float16, or float64 throughout");
    doubles += type == at::kDouble;
  }
  TORCH_CHECK_TYPE(doubles == 0 || doubles == defined, op, ": ", doubles, " of ", defined,
                   " tensors are float64; convert all of them to float64, or none");
  return doubles > 0 ? at::kDouble : at::kFloat;
}

at::Tensor WkvOperand(const std::optional<at::Tensor>& tensor, at::ScalarType type) {
  if (!tensor.has_value() || !tensor->defined()) return {};
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
