// A recurrence as torch operator with autograd; wkv6_op.cc and wkv7_op.cc say which. Three operators each:
//
//   radlads::<name>(Tensor <operand> ..., float scale, Tensor? initial_state=None, Tensor? reset=None,
//                   ScalarType? output_type=None) -> (Tensor output, Tensor final_state)
//     what callers use: checks its arguments, records the gradient.
//   radlads::_<name>_forward(Tensor[] operands, float scale, Tensor? initial_state, Tensor? reset,
//                            ScalarType output_type, bool for_backward, Tensor? into)
//       -> (Tensor output, Tensor final_state, Tensor[] saved)
//   radlads::_<name>_backward(Tensor[] operands, float scale, Tensor? initial_state, Tensor? reset, Tensor[] saved,
//                             Tensor? d_output, Tensor? d_final_state) -> Tensor[]
//     the work, for each device; arguments have been checked.
//
// The CPU's part of the latter two is registered here. Another device registers its own under its dispatch key, in one
// place for both recurrences: functions of the types below, with TORCH_LIBRARY_IMPL(radlads, <key>, library).
#ifndef RADLADS_KERNELS_WKV_WKV_OPERATOR_H_
#define RADLADS_KERNELS_WKV_WKV_OPERATOR_H_

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/wkv/arguments.h"

namespace radlads {

// The output is of `output_type`, the state float32 (both float64 if the operands are). It is written to `into`, which
// may be initial_state, and returned, or is a new tensor if that is absent. `saved` is what the device wants for the
// backward pass besides the arguments; empty without `for_backward`.
using WkvForwardFunction = std::tuple<at::Tensor, at::Tensor, std::vector<at::Tensor>>(
    at::TensorList operands, double scale, const OptionalTensor& initial_state, const OptionalTensor& reset,
    at::ScalarType output_type, bool for_backward, const OptionalTensor& into);
// The gradients of the operands, each in its operand's dtype, then that of initial_state, undefined if there was none.
// d_output, d_final_state: absent or undefined means zero; any dtype and strides.
using WkvBackwardFunction = std::vector<at::Tensor>(at::TensorList operands, double scale,
                                                    const OptionalTensor& initial_state, const OptionalTensor& reset,
                                                    at::TensorList saved, const OptionalTensor& d_output,
                                                    const OptionalTensor& d_final_state);

WkvForwardFunction WkvForwardCpu;
WkvBackwardFunction WkvBackwardCpu;

// radlads::<name> on `operands`, past the checks. Calls _<name>_forward and, for the gradient, _<name>_backward.
std::tuple<at::Tensor, at::Tensor> WkvWithAutograd(const std::string& name, at::TensorList operands, double scale,
                                                   const OptionalTensor& initial_state, const OptionalTensor& reset,
                                                   std::optional<at::ScalarType> output_type);

// Whether `state` can be overwritten by what comes after it: the caller holds it alone, in memory of LibTorch's own, in
// the form that the final state has, and no gradient is recorded.
bool CanBeOverwritten(const OptionalTensor& state, at::TensorList operands);

// radlads::<name> without gradient on `operands`, past the checks; `state` becomes the final one.
at::Tensor WkvInPlace(const std::string& name, at::TensorList operands, double scale, const at::Tensor& state,
                      const OptionalTensor& reset, std::optional<at::ScalarType> output_type);

// `Recurrence` is a type with kName, "wkv7" say, and kOperands, a std::array of the operands' names.
template <class Recurrence, class Indices = std::make_index_sequence<Recurrence::kOperands.size()>>
class WkvOperator;

template <class Recurrence, size_t... I>
class WkvOperator<Recurrence, std::index_sequence<I...>> {
 public:
  template <size_t>
  using Operand = const at::Tensor&;

  // For TORCH_LIBRARY_FRAGMENT.
  static void Define(torch::Library& library) {
    const std::string name = Recurrence::kName, forward = "_" + name + "_forward", backward = "_" + name + "_backward";
    const std::string operands = (("Tensor " + std::string(Recurrence::kOperands[I]) + ", ") + ...);
    const auto define = [&](const std::string& schema) { library.def(schema.c_str()); };
    define(name + "(" + operands + "float scale, Tensor? initial_state=None, Tensor? reset=None, " +
           "ScalarType? output_type=None) -> (Tensor, Tensor)");
    define(forward + "(Tensor[] operands, float scale, Tensor? initial_state, Tensor? reset, " +
           "ScalarType output_type, bool for_backward, Tensor? into) -> (Tensor, Tensor, Tensor[])");
    define(backward + "(Tensor[] operands, float scale, Tensor? initial_state, Tensor? reset, Tensor[] saved, " +
           "Tensor? d_output, Tensor? d_final_state) -> Tensor[]");
    library.impl(name.c_str(), Run);
    library.impl(forward.c_str(), torch::dispatch(at::DispatchKey::CPU, WkvForwardCpu));
    library.impl(backward.c_str(), torch::dispatch(at::DispatchKey::CPU, WkvBackwardCpu));
  }

  // A state that is moved in may be overwritten: CanBeOverwritten.
  static std::pair<at::Tensor, at::Tensor> Call(Operand<I>... operands, double scale, OptionalTensor initial_state,
                                                const OptionalTensor& reset,
                                                std::optional<at::ScalarType> output_type) {
    const std::array<at::Tensor, sizeof...(I)> list = {operands...};
    if (CanBeOverwritten(initial_state, list)) {
      CheckWkvArguments(Recurrence::kName, Recurrence::kOperands, list, initial_state, reset, output_type);
      at::Tensor output = WkvInPlace(Recurrence::kName, list, scale, *initial_state, reset, output_type);
      return {std::move(output), *std::move(initial_state)};
    }
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow((std::string("radlads::") + Recurrence::kName).c_str(), "")
                               .template typed<decltype(Run)>();
    auto [output, final_state] = op.call(operands..., scale, initial_state, reset, output_type);
    return {std::move(output), std::move(final_state)};
  }

 private:
  static std::tuple<at::Tensor, at::Tensor> Run(Operand<I>... operands, double scale,
                                                const OptionalTensor& initial_state, const OptionalTensor& reset,
                                                std::optional<at::ScalarType> output_type) {
    const std::array<at::Tensor, sizeof...(I)> list = {operands...};
    CheckWkvArguments(Recurrence::kName, Recurrence::kOperands, list, initial_state, reset, output_type);
    return WkvWithAutograd(Recurrence::kName, list, scale, initial_state, reset, output_type);
  }
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_WKV_OPERATOR_H_
