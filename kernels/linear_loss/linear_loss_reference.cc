#include "kernels/linear_loss/linear_loss_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {
namespace {

at::Tensor LogProbabilities(const at::Tensor& hidden, const at::Tensor& weight) {
  return at::log_softmax(at::matmul(hidden, weight.to(hidden.scalar_type()).t()).to(ArithmeticType({hidden})), -1);
}

}  // namespace

LinearLossResult LinearLossReference(const LinearLossInputs& inputs) {
  const at::ScalarType type = ArithmeticType({inputs.hidden});
  const at::Tensor student = LogProbabilities(inputs.hidden, inputs.weight);
  LinearLossResult result;
  result.loss = at::zeros({}, inputs.hidden.options().dtype(type));
  if (inputs.teacher_hidden.defined()) {
    const at::Tensor teacher =
        LogProbabilities(inputs.teacher_hidden.detach(), inputs.teacher_weight.detach()).to(type);
    const at::Tensor kl = (teacher.exp() * (teacher - student)).sum(-1).mean();
    result.kl = kl.item<double>();
    if (inputs.kl_weight != 0) result.loss = result.loss + inputs.kl_weight * kl;
  }
  if (inputs.labels.defined()) {
    const at::Tensor scored = inputs.labels != kIgnoredLabel;
    const at::Tensor picked = student.gather(1, inputs.labels.clamp_min(0).unsqueeze(1)).squeeze(1);
    const at::Tensor ce = at::where(scored, -picked, at::zeros_like(picked)).sum() / scored.sum().clamp_min(1);
    result.ce = ce.item<double>();
    if (inputs.ce_weight != 0) result.loss = result.loss + inputs.ce_weight * ce;
  }
  return result;
}

at::Tensor TokenLogProbabilitiesReference(const at::Tensor& hidden, const at::Tensor& weight,
                                          const at::Tensor& labels) {
  at::NoGradGuard no_grad;
  const at::Tensor picked = LogProbabilities(hidden, weight).gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1);
  return at::where(labels != kIgnoredLabel, picked, at::zeros_like(picked));
}

}  // namespace radlads
