#include "model/linear.h"

#include <torch/types.h>

namespace radlads {

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::empty({out, in}));
  if (with_bias) bias = register_parameter("bias", torch::empty({out}));
}

Tensor Linear::Forward(const Tensor& x) const {
  const auto dtype = x.scalar_type();
  return at::linear(x, weight.to(dtype), bias.defined() ? c10::optional<Tensor>(bias.to(dtype)) : c10::nullopt);
}

Tensor Project(const Tensor& x, const Tensor& matrix) { return at::matmul(x, matrix.to(x.scalar_type())); }

}  // namespace radlads
