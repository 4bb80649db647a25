#include "distill/optimizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace radlads {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TrainConfig Recipe() {
  TrainConfig config;
  config.set_beta1(0.9);
  config.set_beta2(0.95);
  config.set_weight_decay(0.1);
  return config;
}

std::vector<NamedParameter> ThreeGroups(at::ScalarType dtype = at::kDouble) {
  at::manual_seed(7);
  std::vector<NamedParameter> parameters;
  for (const char* name : {"model.embed_tokens.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.bias"}) {
    parameters.push_back({name, at::randn({5, 7}, dtype).requires_grad_()});
  }
  return parameters;
}

// The update written out from the paper, in double.
void ReferenceStep(Tensor& weight, const Tensor& gradient, Tensor& m, Tensor& v, int step, double lr, double decay) {
  weight = weight * (1 - lr * decay);
  m = 0.9 * m + 0.1 * gradient;
  v = 0.95 * v + 0.05 * gradient * gradient;
  weight = weight - lr * (m / (1 - std::pow(0.9, step))) / ((v / (1 - std::pow(0.95, step))).sqrt() + 1e-8);
}

TEST(AdamWTest, GroupsAreThoseOfRadlads) {
  using Group = AdamW::Group;
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.self_attn.q_proj.weight", 0.1), Group::kMixers);
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.self_attn.ln_x.bias", 0), Group::kMixers);
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.mlp.up_proj.weight", 0.1), Group::kDecay);
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.mlp.up_proj.weight", 0), Group::kPlain);
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.mlp.up_proj.bias", 0.1), Group::kPlain);
  EXPECT_EQ(AdamW::GroupOf("model.layers.3.input_layernorm.weight", 0.1), Group::kPlain);
  EXPECT_EQ(AdamW::GroupOf("model.norm.weight", 0.1), Group::kPlain);
}

TEST(AdamWTest, FollowsThePaperInEveryGroup) {
  std::vector<NamedParameter> parameters = ThreeGroups();
  AdamW optimizer(Recipe(), parameters);
  std::vector<Tensor> weight, m, v;
  for (const NamedParameter& parameter : parameters) {
    weight.push_back(parameter.tensor.detach().clone());
    m.push_back(at::zeros_like(weight.back()));
    v.push_back(at::zeros_like(weight.back()));
  }
  const Rates rates{.lr = 1e-2, .lr2 = 3e-2, .weight_decay = 0.1};
  const double lr[] = {1e-2, 1e-2, 3e-2}, decay[] = {0.1, 0, 0.1};
  for (int step = 1; step <= 4; ++step) {
    const double scale = step == 3 ? 0.25 : 1;
    for (int i = 0; i < 3; ++i) {
      const Tensor gradient = at::randn({5, 7}, at::kDouble);
      parameters[i].tensor.mutable_grad() = gradient.clone();
      ReferenceStep(weight[i], gradient * scale, m[i], v[i], step, lr[i], decay[i]);
    }
    optimizer.Step(rates, scale);
    for (int i = 0; i < 3; ++i) {
      EXPECT_LT((parameters[i].tensor - weight[i]).abs().max().item<double>(), 1e-12)
          << parameters[i].name << " at step " << step;
      EXPECT_FALSE(parameters[i].tensor.grad().defined());
    }
  }
}

TEST(AdamWTest, AParameterWithoutGradientStays) {
  std::vector<NamedParameter> parameters = ThreeGroups(at::kFloat);
  AdamW optimizer(Recipe(), parameters);
  const Tensor before = parameters[0].tensor.detach().clone();
  parameters[1].tensor.mutable_grad() = at::ones({5, 7});
  optimizer.Step({.lr = 1, .lr2 = 1, .weight_decay = 0.1}, 1);
  EXPECT_TRUE(at::equal(before, parameters[0].tensor));
}

TEST(AdamWTest, NormIsGlobalAndNamesWhatIsNotFinite) {
  std::vector<NamedParameter> parameters;
  for (const char* name : {"a", "b", "c"}) parameters.push_back({name, at::zeros({300, 701}).requires_grad_()});
  AdamW optimizer(Recipe(), parameters);
  EXPECT_EQ(optimizer.Norm().norm, 0);
  parameters[0].tensor.mutable_grad() = at::full({300, 701}, 3.0);
  parameters[2].tensor.mutable_grad() = at::full({300, 701}, 4.0);
  EXPECT_NEAR(optimizer.Norm().norm, 5 * std::sqrt(300.0 * 701), 1e-3);
  EXPECT_EQ(optimizer.Norm().first_not_finite, "");
  parameters[2].tensor.mutable_grad()[299][700] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(optimizer.Norm().norm));
  EXPECT_EQ(optimizer.Norm().first_not_finite, "c");
}

TEST(AdamWTest, LoadedStateContinuesExactly) {
  std::vector<NamedParameter> first = ThreeGroups(at::kFloat), second = ThreeGroups(at::kFloat);
  AdamW a(Recipe(), first), b(Recipe(), second);
  const Rates rates{.lr = 1e-2, .lr2 = 3e-2, .weight_decay = 0.1};
  const auto step = [&](AdamW& optimizer, std::vector<NamedParameter>& parameters, int seed) {
    at::manual_seed(seed);
    for (NamedParameter& parameter : parameters) parameter.tensor.mutable_grad() = at::randn({5, 7});
    optimizer.Step(rates, 0.5);
  };
  step(a, first, 1);
  step(a, first, 2);
  for (int i = 0; i < 3; ++i) second[i].tensor.data().copy_(first[i].tensor.data());
  ASSERT_TRUE(b.LoadState(a.State()).ok());
  step(a, first, 3);
  step(b, second, 3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(first[i].tensor, second[i].tensor)) << first[i].name;
  EXPECT_EQ(b.steps(), 3);
}

TEST(AdamWTest, StateThatDoesNotFitIsListed) {
  std::vector<NamedParameter> parameters = ThreeGroups();
  AdamW optimizer(Recipe(), parameters);
  auto state = optimizer.State();
  state.erase("exp_avg.model.norm.weight");
  state["exp_avg.elsewhere"] = at::zeros({1});
  state["exp_avg_sq.model.norm.weight"] = at::zeros({5, 8}, at::kDouble);
  const absl::Status status = optimizer.LoadState(state);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("missing: exp_avg.model.norm.weight"), HasSubstr("not of this run: exp_avg.elsewhere"),
                    HasSubstr("[5, 8]"), HasSubstr("[5, 7]")));
}

}  // namespace
}  // namespace radlads
