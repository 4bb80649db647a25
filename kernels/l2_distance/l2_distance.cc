#include "kernels/l2_distance/l2_distance.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "base/status.h"
#include "kernels/l2_distance/l2_distance_kernels.h"
#include "kernels/l2_distance/l2_distance_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

// The arguments as contiguous memory, alive as long as this object.
struct FusedArguments {
  FusedArguments(const at::Tensor& target_given, const at::Tensor& x_given)
      : target(target_given.detach().contiguous()), x(x_given.detach().contiguous()) {
    view = {.rows = x.numel() / x.size(-1),
            .width = x.size(-1),
            .target = target.const_data_ptr(),
            .x = x.const_data_ptr(),
            .target_bf16 = target.scalar_type() == at::kBFloat16,
            .x_bf16 = x.scalar_type() == at::kBFloat16};
  }
  // 1 / (rows * sqrt(C)): from the sum of norms to the loss.
  double Scale() const { return 1 / (static_cast<double>(view.rows) * std::sqrt(static_cast<double>(view.width))); }

  at::Tensor target, x;
  L2DistanceArguments view;
};

// Leaves the norm of each row in *norms.
at::Tensor FusedForward(const at::Tensor& target, const at::Tensor& x, at::Tensor* norms) {
  const FusedArguments arguments(target, x);
  const at::TensorOptions fp32 = arguments.x.options().dtype(at::kFloat);
  *norms = at::empty({arguments.view.rows}, fp32);
  const at::Tensor loss = at::empty({}, fp32);
  l2_distance_forward(x.device(), arguments.view, arguments.Scale(), norms->mutable_data_ptr<float>(),
                      loss.mutable_data_ptr<float>());
  return loss;
}

class FusedL2Distance : public torch::autograd::Function<FusedL2Distance> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& target, const at::Tensor& x) {
    at::Tensor norms;
    const at::Tensor loss = FusedForward(target, x, &norms);
    context->save_for_backward({target, x, norms});
    return loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("L2Distance");
    const auto saved = context->get_saved_variables();
    const FusedArguments arguments(saved[0], saved[1]);
    const at::Tensor dx = at::empty(saved[1].sizes(), arguments.x.options());
    l2_distance_backward(dx.device(), arguments.view, saved[2].const_data_ptr<float>(), arguments.Scale(),
                         gradients[0].const_data_ptr<float>(), dx.mutable_data_ptr());
    return {at::Tensor(), dx};
  }
};

}  // namespace

at::Tensor L2Distance(const at::Tensor& target, const at::Tensor& x) {
  RADLADS_CHECK(target.sizes() == x.sizes() && x.dim() >= 1 && x.numel() > 0)
      << "L2Distance: target is " << target.sizes() << ", x is " << x.sizes() << "; they must be alike and not empty";
  if (l2_distance_forward.Takes({target, x})) {
    if (RecordsGradient({x})) return FusedL2Distance::apply(target.detach(), x);
    at::Tensor norms;
    return FusedForward(target, x, &norms);
  }
  return L2DistanceReference(target, x);
}

}  // namespace radlads
