#include "distill/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/parallel_for.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kBlock = 1 << 16;

// Sixteen running sums let the compiler keep the loop in vector registers.
template <typename T>
double SumOfSquares(const T* values, int64_t count) {
  std::array<T, 16> sums{};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int lane = 0; lane < 16; ++lane) sums[lane] += values[i + lane] * values[i + lane];
  }
  double total = 0;
  for (T sum : sums) total += sum;
  for (; i < count; ++i) total += static_cast<double>(values[i]) * values[i];
  return total;
}

// The sum of squares of a contiguous float or double tensor, in blocks.
double SumOfSquares(const Tensor& tensor) {
  const int64_t count = tensor.numel(), blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> partial(blocks);
  ParallelFor(blocks, 4, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kBlock, size = std::min(kBlock, count - begin);
      partial[block] = tensor.scalar_type() == at::kDouble ? SumOfSquares(tensor.const_data_ptr<double>() + begin, size)
                                                           : SumOfSquares(tensor.const_data_ptr<float>() + begin, size);
    }
  });
  double total = 0;
  for (double sum : partial) total += sum;
  return total;
}

std::string ShapeOf(const Tensor& tensor) {
  return Concatenate(tensor.scalar_type(), " ", tensor.sizes());
}

}  // namespace

AdamW::Group AdamW::GroupOf(const std::string& name, double weight_decay) {
  if (name.find(".self_attn.") != std::string::npos) return Group::kMixers;
  const bool decays = weight_decay > 0 && name.find(".bias") == std::string::npos &&
                      name.find("norm") == std::string::npos && name.find("ln") == std::string::npos;
  return decays ? Group::kDecay : Group::kPlain;
}

AdamW::AdamW(const TrainConfig& config, std::vector<NamedParameter> parameters)
    : beta1_(config.beta1()), beta2_(config.beta2()), epsilon_(config.adam_eps()), parameters_(std::move(parameters)) {
  for (const NamedParameter& parameter : parameters_) {
    RADLADS_CHECK(parameter.tensor.scalar_type() == at::kFloat || parameter.tensor.scalar_type() == at::kDouble)
        << parameter.name << ": master weights are fp32, got " << ShapeOf(parameter.tensor);
    RADLADS_CHECK(parameter.tensor.is_contiguous()) << parameter.name;
    groups_.push_back(GroupOf(parameter.name, config.weight_decay()));
    exp_avg_.push_back(at::zeros_like(parameter.tensor));
    exp_avg_sq_.push_back(at::zeros_like(parameter.tensor));
  }
}

AdamW::GradientNorm AdamW::Norm() const {
  GradientNorm result;
  double total = 0;
  for (const NamedParameter& parameter : parameters_) {
    const Tensor& gradient = parameter.tensor.grad();
    if (!gradient.defined()) continue;
    const double sum = SumOfSquares(gradient.contiguous());
    if (!std::isfinite(sum) && result.first_not_finite.empty()) result.first_not_finite = parameter.name;
    total += sum;
  }
  result.norm = std::sqrt(total);
  return result;
}

void AdamW::Step(const Rates& rates, double gradient_scale) {
  at::NoGradGuard no_grad;
  ++steps_;
  const Tensor step = at::full({}, static_cast<double>(steps_), at::kFloat);
  std::optional<Tensor> scale;
  if (gradient_scale != 1) scale = at::full({}, 1 / gradient_scale, at::kFloat);  // the kernel divides by it
  for (Group group : {Group::kPlain, Group::kMixers, Group::kDecay}) {
    std::vector<Tensor> weights, gradients, exp_avg, exp_avg_sq, steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& gradient = parameters_[i].tensor.grad();
      if (groups_[i] != group || !gradient.defined()) continue;
      weights.push_back(parameters_[i].tensor);
      gradients.push_back(gradient.contiguous());
      exp_avg.push_back(exp_avg_[i]);
      exp_avg_sq.push_back(exp_avg_sq_[i]);
      steps.push_back(step);
    }
    if (weights.empty()) continue;
    at::_fused_adamw_(weights, gradients, exp_avg, exp_avg_sq, /*max_exp_avg_sqs=*/{}, steps,
                      group == Group::kMixers ? rates.lr2 : rates.lr, beta1_, beta2_,
                      group == Group::kPlain ? 0 : rates.weight_decay, epsilon_, /*amsgrad=*/false,
                      /*maximize=*/false, scale);
  }
  DropGradients();
}

void AdamW::DropGradients() {
  for (NamedParameter& parameter : parameters_) parameter.tensor.mutable_grad() = Tensor();
}

std::map<std::string, Tensor> AdamW::State() const {
  std::map<std::string, Tensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state["exp_avg." + parameters_[i].name] = exp_avg_[i];
    state["exp_avg_sq." + parameters_[i].name] = exp_avg_sq_[i];
  }
  state["step"] = at::full({}, steps_, at::kLong);
  return state;
}

absl::Status AdamW::LoadState(const std::map<std::string, Tensor>& state) {
  at::NoGradGuard no_grad;
  const std::map<std::string, Tensor> mine = State();
  std::string problems;
  for (const auto& [name, tensor] : mine) {
    const auto found = state.find(name);
    if (found == state.end()) {
      problems += "\n  missing: " + name;
    } else if (found->second.sizes() != tensor.sizes() || found->second.scalar_type() != tensor.scalar_type()) {
      problems += "\n  " + name + ": found " + ShapeOf(found->second) + ", expected " + ShapeOf(tensor);
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!mine.count(name)) problems += "\n  not of this run: " + name;
  }
  if (!problems.empty()) {
    return InvalidArgument("the optimizer state does not fit the parameters that learn in this stage:", problems);
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    exp_avg_[i].copy_(state.at("exp_avg." + parameters_[i].name));
    exp_avg_sq_[i].copy_(state.at("exp_avg_sq." + parameters_[i].name));
  }
  steps_ = state.at("step").item<int64_t>();
  return absl::OkStatus();
}

}  // namespace radlads
