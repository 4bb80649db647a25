#include "model/token_gradient_limit.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

namespace radlads {
namespace {

struct TokenGradientLimit : torch::autograd::Function<TokenGradientLimit> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, double limit) {
    context->saved_data["limit"] = limit;
    return x.view_as(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    const at::Tensor norm = at::linalg_vector_norm(gradient, 2, at::IntArrayRef{-1}, /*keepdim=*/true);
    const double bound = context->saved_data["limit"].toDouble() * norm.median().item<double>();
    const at::Tensor over = norm > bound;
    if (!over.any().item<bool>()) return {gradient, at::Tensor()};
    return {gradient * at::where(over, bound / norm, at::ones_like(norm)), at::Tensor()};
  }
};

}  // namespace

at::Tensor LimitTokenGradient(const at::Tensor& x, double limit) { return TokenGradientLimit::apply(x, limit); }

}  // namespace radlads
