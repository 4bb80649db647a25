#include "kernels/quantized_linear/quantized_linear_op.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor QuantizedLinear(const at::Tensor& x, const WeightMatrix& w, const at::Tensor& bias, at::ScalarType out) {
  const auto supported = [](at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; };
  TORCH_CHECK(x.device().is_cpu() && supported(x.scalar_type()) && supported(out),
              "QuantizedLinear takes fp32 and bf16 on the CPU, got x ", x.scalar_type(), " on ", x.device(),
              " and out ", out);
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == w.in(), "QuantizedLinear: x is ", x.sizes(), ", the weight [", w.out(),
              ", ", w.in(), "]");
  TORCH_CHECK(!bias.defined() || bias.sizes() == at::IntArrayRef{w.out()}, "QuantizedLinear: the bias is ",
              bias.sizes(), " for ", w.out(), " outputs");
  TORCH_CHECK(
      !RecordsGradient({x, bias}), "QuantizedLinear has no gradient: ", WeightKindName(w.kind()),
      " weights in this form are for inference; compute under at::NoGradGuard, or train a model that was loaded with "
      "LoadTransformer");
  const at::Tensor rows = x.contiguous();
  const at::Tensor offset = bias.defined() ? bias.to(at::kFloat).contiguous() : bias;
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = w.out();
  at::Tensor y = at::empty(sizes, rows.options().dtype(out));
  QuantizedLinear(w, {.rows = c10::multiply_integers(x.sizes().slice(0, x.dim() - 1)),
                      .x = rows.const_data_ptr(),
                      .x_bf16 = rows.scalar_type() == at::kBFloat16,
                      .y = y.mutable_data_ptr(),
                      .y_bf16 = out == at::kBFloat16,
                      .bias = offset.defined() ? offset.const_data_ptr<float>() : nullptr});
  return y;
}

}  // namespace radlads
