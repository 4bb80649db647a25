#include "kernels/swiglu/swiglu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/status.h"
#include "kernels/swiglu/swiglu_kernels.h"
#include "kernels/swiglu/swiglu_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

at::Tensor FusedForward(const at::Tensor& gate_given, const at::Tensor& up_given) {
  const at::Tensor gate = gate_given.detach().contiguous(), up = up_given.detach().contiguous();
  const at::Tensor y = at::empty(gate.sizes(), gate.options());
  swiglu_forward(gate.device(), gate.numel(), gate.scalar_type() == at::kBFloat16, gate.const_data_ptr(),
                 up.const_data_ptr(), y.mutable_data_ptr());
  return y;
}

class FusedSwiGlu : public torch::autograd::Function<FusedSwiGlu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return FusedForward(gate, up);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("SwiGlu");
    const auto saved = context->get_saved_variables();
    const at::Tensor gate = saved[0].contiguous(), up = saved[1].contiguous(), dy = gradients[0].contiguous();
    const at::Tensor d_gate = at::empty(gate.sizes(), gate.options()), d_up = at::empty(gate.sizes(), gate.options());
    swiglu_backward(gate.device(), gate.numel(), gate.scalar_type() == at::kBFloat16, gate.const_data_ptr(),
                    up.const_data_ptr(), dy.const_data_ptr(), d_gate.mutable_data_ptr(), d_up.mutable_data_ptr());
    return {d_gate, d_up};
  }
};

}  // namespace

at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  RADLADS_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type())
      << "SwiGlu: gate is " << gate.sizes() << " " << gate.scalar_type() << ", up is " << up.sizes() << " "
      << up.scalar_type() << "; they must be alike";
  if (swiglu_forward.Takes({gate, up})) {
    return RecordsGradient({gate, up}) ? FusedSwiGlu::apply(gate, up) : FusedForward(gate, up);
  }
  return SwiGluReference(gate, up);
}

}  // namespace radlads
