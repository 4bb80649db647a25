#include "kernels/token_shift/token_shift.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/status.h"
#include "kernels/tensor_arguments.h"
#include "kernels/token_shift/token_shift_cuda.h"
#include "kernels/token_shift/token_shift_kernels.h"
#include "kernels/token_shift/token_shift_reference.h"

namespace radlads {
namespace {

// The arguments as contiguous memory, alive as long as this object.
struct FusedArguments {
  FusedArguments(const at::Tensor& x_given, const at::Tensor& previous_given, const at::Tensor& reset_given,
                 const at::Tensor& maa_given, const at::Tensor& amounts_given)
      : x(x_given.detach().contiguous()), maa(maa_given.detach().to(at::kFloat).contiguous()) {
    if (previous_given.defined()) previous = previous_given.detach().to(at::kFloat).contiguous();
    if (reset_given.defined()) reset = reset_given.contiguous();
    if (amounts_given.defined()) amounts = amounts_given.detach().contiguous();
    view = {.batch = x.size(0),
            .time = x.size(1),
            .width = x.size(2),
            .mixes = maa.size(0),
            .x = x.const_data_ptr(),
            .previous = previous.defined() ? previous.const_data_ptr<float>() : nullptr,
            .reset = reset.defined() ? reset.const_data_ptr<bool>() : nullptr,
            .maa = maa.const_data_ptr<float>(),
            .amounts = amounts.defined() ? amounts.const_data_ptr() : nullptr,
            .bf16 = x.scalar_type() == at::kBFloat16};
  }
  at::Tensor x, previous, reset, maa, amounts;
  TokenShiftArguments view;
};

std::vector<at::Tensor> FusedForward(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                     const at::Tensor& maa, const at::Tensor& amounts) {
  const FusedArguments arguments(x, previous, reset, maa, amounts);
  std::vector<at::Tensor> mixed;
  std::vector<void*> y;
  for (int64_t i = 0; i < maa.size(0); ++i) {
    mixed.push_back(at::empty(x.sizes(), arguments.x.options()));
    y.push_back(mixed.back().mutable_data_ptr());
  }
  token_shift_forward(x.device(), arguments.view, y.data());
  return mixed;
}

class FusedTokenShift : public torch::autograd::Function<FusedTokenShift> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const std::optional<at::Tensor>& previous,
                                                const std::optional<at::Tensor>& reset, const at::Tensor& maa,
                                                const std::optional<at::Tensor>& amounts) {
    // A mix that nothing uses costs nothing on the way back.
    context->set_materialize_grads(false);
    context->save_for_backward({x, OrUndefined(previous), OrUndefined(reset), maa, OrUndefined(amounts)});
    return FusedForward(x, OrUndefined(previous), OrUndefined(reset), maa, OrUndefined(amounts));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("TokenShift");
    const auto saved = context->get_saved_variables();
    const FusedArguments arguments(saved[0], saved[1], saved[2], saved[3], saved[4]);
    std::vector<const void*> dy;
    for (at::Tensor& g : gradients) {
      if (g.defined()) g = g.contiguous();
      dy.push_back(g.defined() ? g.const_data_ptr() : nullptr);
    }
    const at::Tensor dx = at::empty_like(arguments.x), d_maa = at::empty_like(arguments.maa);
    at::Tensor d_previous, d_amounts;
    if (arguments.previous.defined()) d_previous = at::zeros_like(arguments.previous);
    if (arguments.amounts.defined()) d_amounts = at::empty_like(arguments.amounts);
    token_shift_backward(dx.device(), arguments.view,
                         {.dy = dy.data(),
                          .dx = dx.mutable_data_ptr(),
                          .d_previous = d_previous.defined() ? d_previous.mutable_data_ptr<float>() : nullptr,
                          .d_maa = d_maa.mutable_data_ptr<float>(),
                          .d_amounts = d_amounts.defined() ? d_amounts.mutable_data_ptr() : nullptr});
    if (d_previous.defined()) d_previous = d_previous.to(saved[1].scalar_type());
    return {dx, d_previous, at::Tensor(), d_maa.to(saved[3].scalar_type()), d_amounts};
  }
};

}  // namespace

std::vector<at::Tensor> TokenShift(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                   const at::Tensor& maa, const at::Tensor& amounts) {
  RADLADS_CHECK(x.dim() == 3 && maa.dim() == 2 && maa.size(1) == x.size(2))
      << "TokenShift: x " << x.sizes() << " must be [B,T,C] and maa " << maa.sizes() << " [N,C]";
  const int64_t batch = x.size(0), time = x.size(1), width = x.size(2);
  RADLADS_CHECK(!previous.defined() || previous.sizes() == at::IntArrayRef({batch, width}))
      << "TokenShift: x " << x.sizes() << " needs a token before it [B,C], got " << previous.sizes();
  RADLADS_CHECK(!reset.defined() ||
                (reset.sizes() == at::IntArrayRef({batch, time}) && reset.scalar_type() == at::kBool))
      << "TokenShift: x " << x.sizes() << " needs reset [B,T] of bool, got " << reset.scalar_type() << reset.sizes();
  RADLADS_CHECK(!amounts.defined() || (amounts.sizes() == at::IntArrayRef({maa.size(0), batch, time, width}) &&
                                       amounts.scalar_type() == x.scalar_type()))
      << "TokenShift: x " << x.scalar_type() << x.sizes() << " and maa " << maa.sizes()
      << " need amounts [N,B,T,C] of x's dtype, got " << amounts.scalar_type() << amounts.sizes();
  const bool fits = x.is_cpu() || maa.size(0) <= cuda::kTokenShiftMaxMixes;
  if (fits && token_shift_forward.Takes({x, previous, reset, maa, amounts})) {
    if (!RecordsGradient({x, previous, maa, amounts})) return FusedForward(x, previous, reset, maa, amounts);
    return FusedTokenShift::apply(x, Optional(previous), Optional(reset), maa, Optional(amounts));
  }
  return TokenShiftReference(x, previous, reset, maa, amounts);
}

}  // namespace radlads
