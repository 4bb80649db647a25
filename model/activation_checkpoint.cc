#include "model/activation_checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

namespace radlads {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Part = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// Carries the function through AutogradContext::saved_data.
struct PartHolder : torch::CustomClassHolder {
  explicit PartHolder(Part part) : part(std::move(part)) {}
  Part part;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static variable_list forward(AutogradContext* context, const c10::intrusive_ptr<PartHolder>& holder, at::TensorList list) {
    variable_list inputs = list.vec();
    context->save_for_backward(inputs);
    context->saved_data["part"] = c10::IValue::make_capsule(holder);
    at::AutoDispatchBelowADInplaceOrView below;
    at::NoGradGuard no_grad;
    return holder->part(inputs);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto holder = c10::static_intrusive_pointer_cast<PartHolder>(context->saved_data["part"].toCapsule());
    variable_list inputs;
    for (const auto& saved : context->get_saved_variables()) {
      inputs.push_back(saved.detach().requires_grad_(saved.requires_grad()));
    }
    variable_list roots, root_gradients;
    {
      at::AutoGradMode with_grad(true);
      variable_list outputs = holder->part(inputs);
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
        roots.push_back(outputs[i]);
        root_gradients.push_back(gradients[i]);
      }
    }
    torch::autograd::backward(roots, root_gradients);
    variable_list result = {at::Tensor()};  // the function itself
    for (const auto& input : inputs) result.push_back(input.grad());
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> RunCheckpointed(Part part, const std::vector<at::Tensor>& inputs) {
  return Checkpointed::apply(c10::make_intrusive<PartHolder>(std::move(part)), at::TensorList(inputs));
}

}  // namespace radlads
