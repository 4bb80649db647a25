// Our models against values computed by other software: transformers (tiny_hf) and a plain PyTorch implementation in
// double precision (mixers).
#include <gtest/gtest.h>
#include <torch/types.h>

#include "base/file.h"
#include "kernels/linear_loss/linear_loss.h"
#include "model/checkpoint/hf_config.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

struct Tolerance {
  double forward, gradient;
};

// kernels' tolerances; the goldens are stored in fp32.
Tolerance ToleranceFor(at::ScalarType dtype) {
  return dtype == at::kDouble ? Tolerance{1e-7, 1e-7} : Tolerance{1e-5, 5e-5};
}

class MixerGoldenTest : public testing::TestWithParam<std::tuple<std::string, at::ScalarType>> {
 protected:
  void SetUp() override {
    const auto& [name, dtype] = GetParam();
    directory_ = TestData("mixers/" + name);
    tolerance_ = ToleranceFor(dtype);
    auto loaded = LoadTransformer(directory_, dtype);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *loaded;
    ids_ = Golden("input_ids");
  }
  at::Tensor Golden(const std::string& name) { return ReadTensor(directory_ + "/golden.safetensors", name); }

  std::string directory_;
  Tolerance tolerance_;
  std::shared_ptr<Transformer> model_;
  at::Tensor ids_;
};

TEST_P(MixerGoldenTest, LogitsAndStates) {
  torch::NoGradGuard no_grad;
  ModelState state;
  const at::Tensor logits = model_->Logits(model_->Forward(ids_, &state));
  EXPECT_LE(RelativeError(logits, Golden("logits")), tolerance_.forward);
  for (int64_t layer = 0; layer < model_->layers(); ++layer) {
    const auto& tensors = state.layers[layer].tensors;
    if (tensors.count("wkv")) {
      EXPECT_LE(RelativeError(tensors.at("wkv"), Golden("state." + std::to_string(layer))), tolerance_.forward) << "layer " << layer;
    }
    if (tensors.count("shift")) {
      EXPECT_LE(RelativeError(tensors.at("shift"), Golden("shift." + std::to_string(layer))), tolerance_.forward) << "layer " << layer;
    }
  }
}

TEST_P(MixerGoldenTest, EveryLayer) {
  torch::NoGradGuard no_grad;
  const auto compute = model_->compute_dtype();
  MixContext context = model_->MakeContext(ids_, nullptr);
  at::Tensor residual = model_->Embed(ids_);
  for (int64_t layer = 0; layer < model_->layers(); ++layer) {
    Block& block = model_->block(layer);
    const at::Tensor mixed = block.mixer().Forward(block.MixerInput(residual, compute), context, nullptr);
    EXPECT_LE(RelativeError(mixed, Golden("mixer_out." + std::to_string(layer))), tolerance_.forward) << "layer " << layer;
    residual = block.Continue(residual, mixed, compute);
    EXPECT_LE(RelativeError(residual, Golden("hidden." + std::to_string(layer))), tolerance_.forward) << "layer " << layer;
  }
}

TEST_P(MixerGoldenTest, EveryGradient) {
  const at::Tensor hidden = model_->Forward(ids_);
  LinearLossInputs inputs;
  inputs.hidden = hidden.flatten(0, 1);
  inputs.weight = model_->HeadWeight();
  inputs.labels = Golden("labels").flatten();
  inputs.ce_weight = 1;
  LinearLoss(inputs).loss.backward();
  for (const auto& [name, parameter] : model_->NamedParameters()) {
    const at::Tensor want = ReadTensor(directory_ + "/grad_ce.safetensors", name);
    const at::Tensor got = parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter);
    EXPECT_LE(RelativeError(got, want), tolerance_.gradient) << name;
  }
}

std::string MixerTestName(const testing::TestParamInfo<std::tuple<std::string, at::ScalarType>>& info) {
  return std::get<0>(info.param) + (std::get<1>(info.param) == at::kDouble ? "_double" : "_float");
}

INSTANTIATE_TEST_SUITE_P(Mixers, MixerGoldenTest,
                         testing::Combine(testing::Values("teacher_qwen2", "rwkv6_preset", "rwkv6_alt", "rwkv7_preset", "rwkv7_alt"),
                                          testing::Values(at::kDouble, at::kFloat)),
                         MixerTestName);

class TransformersGoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(TransformersGoldenTest, Logits) {
  torch::NoGradGuard no_grad;
  const std::string directory = TestData("tiny_hf/" + GetParam());
  auto model = LoadTransformer(directory);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string golden = directory + "/golden.safetensors";
  const at::Tensor logits = (*model)->Logits((*model)->Forward(ReadTensor(golden, "input_ids")));
  EXPECT_LE((logits - ReadTensor(golden, "logits")).abs().max().item<double>(), 1e-4);
}

TEST_P(TransformersGoldenTest, BothSpellingsOfTheConfigAreTheSameModel) {
  const std::string directory = TestData("tiny_hf/" + GetParam());
  auto read = [&](const std::string& name) {
    auto text = ReadFile(directory + "/" + name);
    EXPECT_TRUE(text.ok()) << text.status();
    return ModelConfigFromJson(*text, name);
  };
  auto now = read("config.json"), before = read("config_legacy.json");
  ASSERT_TRUE(now.ok()) << now.status();
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(now->DebugString(), before->DebugString());
}

INSTANTIATE_TEST_SUITE_P(TinyModels, TransformersGoldenTest,
                         testing::Values("llama", "llama_rope_llama3", "qwen2_sharded", "qwen2_rope_yarn", "qwen3"),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace radlads
