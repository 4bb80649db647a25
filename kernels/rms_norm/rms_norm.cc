#include "kernels/rms_norm/rms_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/status.h"
#include "kernels/rms_norm/rms_norm_kernels.h"
#include "kernels/rms_norm/rms_norm_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

// The arguments as contiguous memory, alive as long as this object.
struct FusedArguments {
  FusedArguments(const at::Tensor& x_given, const at::Tensor& weight_given, double eps, at::ScalarType out)
      : x(x_given.detach().contiguous()), weight(weight_given.detach().to(at::kFloat).contiguous()) {
    view = {.rows = x.size(-1) == 0 ? 0 : x.numel() / x.size(-1),
            .width = x.size(-1),
            .x = x.const_data_ptr(),
            .weight = weight.const_data_ptr<float>(),
            .eps = static_cast<float>(eps),
            .x_bf16 = x.scalar_type() == at::kBFloat16,
            .y_bf16 = out == at::kBFloat16};
  }
  at::Tensor x, weight;
  RmsNormArguments view;
};

at::Tensor FusedForward(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  const FusedArguments arguments(x, weight, eps, out);
  at::Tensor y = at::empty(x.sizes(), arguments.x.options().dtype(out));
  rms_norm_forward(x.device(), arguments.view, y.mutable_data_ptr());
  return y;
}

class FusedRmsNorm : public torch::autograd::Function<FusedRmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double eps, at::ScalarType out) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    return FusedForward(x, weight, eps, out);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("RmsNorm");
    const auto saved = context->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    const FusedArguments arguments(saved[0], saved[1], context->saved_data["eps"].toDouble(), dy.scalar_type());
    const at::Tensor dx = at::empty_like(arguments.x), d_weight = at::empty_like(arguments.weight);
    rms_norm_backward(dy.device(), arguments.view, dy.const_data_ptr(), dx.mutable_data_ptr(),
                      d_weight.mutable_data_ptr<float>());
    return {dx, d_weight.to(saved[1].scalar_type()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out) {
  RADLADS_CHECK(x.dim() >= 1 && weight.dim() == 1 && weight.size(0) == x.size(-1))
      << "RmsNorm: x " << x.sizes() << " needs a weight of its last size, got " << weight.sizes();
  if ((out == at::kFloat || out == at::kBFloat16) && rms_norm_forward.Takes({x, weight})) {
    return RecordsGradient({x, weight}) ? FusedRmsNorm::apply(x, weight, eps, out) : FusedForward(x, weight, eps, out);
  }
  return RmsNormReference(x, weight, eps, out);
}

}  // namespace radlads
