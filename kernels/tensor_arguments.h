// What the operations of kernels/ ask about their tensor arguments: dtype of the arithmetic, whether a fused path
// applies (device_function.h has what it does on each device), whether autograd records.
#ifndef RADLADS_KERNELS_TENSOR_ARGUMENTS_H_
#define RADLADS_KERNELS_TENSOR_ARGUMENTS_H_

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <functional>
#include <initializer_list>
#include <optional>

#include "base/status.h"

namespace radlads {

using TensorArguments = std::initializer_list<std::reference_wrapper<const at::Tensor>>;

// Arithmetic is done in double when an argument is double and in fp32 otherwise. Undefined tensors do not count.
inline at::ScalarType ArithmeticType(TensorArguments arguments) {
  for (const at::Tensor& x : arguments) {
    if (x.defined() && x.scalar_type() == at::kDouble) return at::kDouble;
  }
  return at::kFloat;
}

// The fused paths take tensors on one device, the CPU or, where there is a path `on_cuda`, a GPU; of floating-point
// types fp32 and bf16.
inline bool FusedPathApplies(TensorArguments arguments, bool on_cuda = false) {
  std::optional<at::Device> device;
  for (const at::Tensor& x : arguments) {
    if (!x.defined()) continue;
    if (!x.device().is_cpu() && !(on_cuda && x.device().is_cuda())) return false;
    if (device.value_or(x.device()) != x.device()) return false;
    device = x.device();
    if (x.is_floating_point() && x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  }
  return true;
}

// torch::autograd::Function takes an absent tensor as nullopt and refuses undefined ones.
inline std::optional<at::Tensor> Optional(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}
inline at::Tensor OrUndefined(const std::optional<at::Tensor>& x) {
  return x.has_value() ? *x : at::Tensor();
}

// Whether an operation on these arguments belongs to the graph; if not, nothing is saved.
inline bool RecordsGradient(TensorArguments arguments) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& x : arguments) {
    if (x.defined() && x.requires_grad()) return true;
  }
  return false;
}

// For the backward pass of a fused operation: its gradients carry no graph, so a second derivative through them would
// silently be zero.
inline void CheckFirstDerivative(const char* operation) {
  RADLADS_CHECK(!at::GradMode::is_enabled())
      << operation << ": fused fp32 and bf16 paths have no second derivative (create_graph); use double";
}

}  // namespace radlads

#endif  // RADLADS_KERNELS_TENSOR_ARGUMENTS_H_
