#include "kernels/rope/rope.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/status.h"
#include "kernels/rope/rope_kernels.h"
#include "kernels/rope/rope_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

at::Tensor Fused(bool back, const at::Tensor& x_given, const at::Tensor& cos_given, const at::Tensor& sin_given) {
  const at::Tensor x = x_given.detach().contiguous();
  const at::Tensor cos = cos_given.detach().to(at::kFloat).contiguous();
  const at::Tensor sin = sin_given.detach().to(at::kFloat).contiguous();
  const at::Tensor y = at::empty(x.sizes(), x.options());
  const RopeArguments arguments = {.batch = x.size(0),
                                   .time = x.size(1),
                                   .heads = x.size(2),
                                   .head_dim = x.size(3),
                                   .cos = cos.const_data_ptr<float>(),
                                   .sin = sin.const_data_ptr<float>(),
                                   .tables_per_batch = cos.dim() == 3,
                                   .bf16 = x.scalar_type() == at::kBFloat16};
  (back ? rope_backward : rope_forward)(x.device(), arguments, x.const_data_ptr(), y.mutable_data_ptr());
  return y;
}

class FusedRope : public torch::autograd::Function<FusedRope> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return Fused(/*back=*/false, x, cos, sin);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("Rope");
    const auto saved = context->get_saved_variables();
    return {Fused(/*back=*/true, gradients[0], saved[0], saved[1]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  RADLADS_CHECK(x.dim() == 4 && x.size(3) % 2 == 0) << "Rope: x must be [B,T,H,D] with D even, got " << x.sizes();
  RADLADS_CHECK((cos.dim() == 2 || (cos.dim() == 3 && cos.size(0) == x.size(0))) && cos.size(-2) == x.size(1) &&
                cos.size(-1) == x.size(3) && sin.sizes() == cos.sizes())
      << "Rope: x " << x.sizes() << " needs tables [T,D] or [B,T,D], got cos " << cos.sizes() << " and sin "
      << sin.sizes();
  if (rope_forward.Takes({x, cos, sin})) {
    return RecordsGradient({x}) ? FusedRope::apply(x, cos, sin) : Fused(/*back=*/false, x, cos, sin);
  }
  return RopeReference(x, cos, sin);
}

}  // namespace radlads
