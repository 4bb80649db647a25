#include "kernels/head_norm_gate/head_norm_gate.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/status.h"
#include "kernels/head_norm_gate/head_norm_gate_kernels.h"
#include "kernels/head_norm_gate/head_norm_gate_reference.h"
#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

// The arguments as contiguous memory, alive as long as this object.
struct FusedArguments {
  FusedArguments(const at::Tensor& o_given, const at::Tensor& weight_given, const at::Tensor& bias_given, double eps,
                 double scale, const at::Tensor& gate_given, bool gate_sigmoid, at::ScalarType out)
      : o(o_given.detach().contiguous()) {
    if (weight_given.defined()) {
      weight = weight_given.detach().to(at::kFloat).contiguous();
      bias = bias_given.detach().to(at::kFloat).contiguous();
    }
    if (gate_given.defined()) gate = gate_given.detach().contiguous();
    view = {.rows = o.size(0) * o.size(1),
            .heads = o.size(2),
            .head_dim = o.size(3),
            .o = o.const_data_ptr(),
            .o_bf16 = o.scalar_type() == at::kBFloat16,
            .weight = weight.defined() ? weight.const_data_ptr<float>() : nullptr,
            .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
            .eps = static_cast<float>(eps),
            .scale = static_cast<float>(scale),
            .gate = gate.defined() ? gate.const_data_ptr() : nullptr,
            .gate_bf16 = gate.defined() && gate.scalar_type() == at::kBFloat16,
            .gate_sigmoid = gate_sigmoid,
            .out_bf16 = out == at::kBFloat16};
  }
  at::Tensor o, weight, bias, gate;
  HeadNormGateArguments view;
};

at::Tensor FusedForward(const FusedArguments& arguments, at::ScalarType out) {
  const at::Tensor& o = arguments.o;
  at::Tensor y = at::empty({o.size(0), o.size(1), o.size(2) * o.size(3)}, o.options().dtype(out));
  head_norm_gate_forward(o.device(), arguments.view, y.mutable_data_ptr());
  return y;
}

class FusedHeadNormGate : public torch::autograd::Function<FusedHeadNormGate> {
 public:
  using Maybe = std::optional<at::Tensor>;

  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& o, const Maybe& weight,
                            const Maybe& bias, double eps, double scale, const Maybe& gate, bool gate_sigmoid,
                            at::ScalarType out) {
    context->save_for_backward({o, OrUndefined(weight), OrUndefined(bias), OrUndefined(gate)});
    context->saved_data["eps"] = eps;
    context->saved_data["scale"] = scale;
    context->saved_data["gate_sigmoid"] = gate_sigmoid;
    return FusedForward(
        FusedArguments(o, OrUndefined(weight), OrUndefined(bias), eps, scale, OrUndefined(gate), gate_sigmoid, out),
        out);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("HeadNormGate");
    const auto saved = context->get_saved_variables();
    const at::Tensor &o = saved[0], &weight = saved[1], &bias = saved[2], &gate = saved[3];
    const at::Tensor dy = gradients[0].contiguous();
    const FusedArguments arguments(o, weight, bias, context->saved_data["eps"].toDouble(),
                                   context->saved_data["scale"].toDouble(), gate,
                                   context->saved_data["gate_sigmoid"].toBool(), dy.scalar_type());
    at::Tensor d_o = at::empty_like(arguments.o), d_weight, d_bias, d_gate;
    if (weight.defined()) {
      d_weight = at::empty_like(arguments.weight);
      d_bias = at::empty_like(arguments.bias);
    }
    if (gate.defined()) d_gate = at::empty_like(arguments.gate);
    head_norm_gate_backward(o.device(), arguments.view,
                            {.dy = dy.const_data_ptr(),
                             .d_o = d_o.mutable_data_ptr(),
                             .d_weight = d_weight.defined() ? d_weight.mutable_data_ptr<float>() : nullptr,
                             .d_bias = d_bias.defined() ? d_bias.mutable_data_ptr<float>() : nullptr,
                             .d_gate = d_gate.defined() ? d_gate.mutable_data_ptr() : nullptr});
    if (weight.defined()) {
      d_weight = d_weight.to(weight.scalar_type());
      d_bias = d_bias.to(bias.scalar_type());
    }
    return {d_o, d_weight, d_bias, at::Tensor(), at::Tensor(), d_gate, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor HeadNormGate(const at::Tensor& o, const at::Tensor& weight, const at::Tensor& bias, double eps, double scale,
                        const at::Tensor& gate, bool gate_sigmoid, at::ScalarType out) {
  RADLADS_CHECK(o.dim() == 4) << "HeadNormGate: o must be [B,T,H,V], got " << o.sizes();
  const int64_t width = o.size(2) * o.size(3);
  RADLADS_CHECK(weight.defined() == bias.defined() &&
                (!weight.defined() || (weight.numel() == width && bias.numel() == width)))
      << "HeadNormGate: weight and bias must both have " << width << " elements or both be undefined";
  RADLADS_CHECK(!gate.defined() ||
                (gate.dim() == 3 && gate.size(0) == o.size(0) && gate.size(1) == o.size(1) && gate.size(2) == width))
      << "HeadNormGate: o " << o.sizes() << " needs a gate [B,T," << width << "], got " << gate.sizes();
  const bool stores = out == at::kFloat || out == at::kBFloat16;
  if (stores && head_norm_gate_forward.Takes({o, weight, bias, gate})) {
    if (RecordsGradient({o, weight, bias, gate})) {
      return FusedHeadNormGate::apply(o, Optional(weight), Optional(bias), eps, scale, Optional(gate), gate_sigmoid,
                                      out);
    }
    return FusedForward(FusedArguments(o, weight, bias, eps, scale, gate, gate_sigmoid, out), out);
  }
  return HeadNormGateReference(o, weight, bias, eps, scale, gate, gate_sigmoid, out);
}

}  // namespace radlads
