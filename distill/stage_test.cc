#include "distill/stage.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Config StageConfig(int stage, double kl_weight = 1, double ce_weight = 0) {
  Config config;
  config.mutable_train()->set_attention_distillation_stage(stage);
  config.mutable_train()->mutable_teacher()->set_kl_weight(kl_weight);
  config.mutable_train()->mutable_teacher()->set_ce_weight(ce_weight);
  return config;
}

std::unique_ptr<Stage> MakeStage(const Config& config, Transformer& student, Transformer* teacher) {
  auto stage = CreateStage(config, student, teacher);
  EXPECT_TRUE(stage.ok()) << stage.status();
  return std::move(*stage);
}

std::map<std::string, Tensor> Gradients(const Stage& stage) {
  std::map<std::string, Tensor> gradients;
  for (const NamedParameter& parameter : stage.Trainable()) {
    gradients[parameter.name] =
        parameter.tensor.grad().defined() ? parameter.tensor.grad().clone() : at::zeros_like(parameter.tensor);
    parameter.tensor.mutable_grad() = Tensor();
  }
  return gradients;
}

struct RandomBatch {
  Tensor ids, labels;
};
RandomBatch MakeBatch(int64_t rows, int64_t ctx, int64_t vocabulary, int seed) {
  at::manual_seed(seed);
  const Tensor tokens = at::randint(1, vocabulary, {rows, ctx + 1}, at::kLong);
  return {tokens.slice(1, 0, ctx).contiguous(), tokens.slice(1, 1).contiguous()};
}

// Values of another implementation, computed in double and stored with float's precision.
class StageGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto teacher = LoadTransformer(TestData("mixers/teacher_qwen2"), at::kDouble);
    ASSERT_TRUE(teacher.ok()) << teacher.status();
    teacher_ = *teacher;
    const std::string directory = TestData("mixers/" + GetParam());
    auto student = LoadTransformer(directory, at::kDouble);
    ASSERT_TRUE(student.ok()) << student.status();
    student_ = *student;
    ids_ = ReadTensor(directory + "/golden.safetensors", "input_ids");
    labels_ = ReadTensor(directory + "/golden.safetensors", "labels");
    std::ifstream file(directory + "/golden.json");
    ASSERT_TRUE(file);
    golden_ = json::parse(file);
  }

  void ExpectGradients(const Stage& stage, const json& golden) {
    const auto gradients = Gradients(stage);
    for (const auto& [name, want] : golden.items()) {
      ASSERT_TRUE(gradients.count(name)) << name << " does not learn";
      const Tensor got = gradients.at(name).flatten();
      const double scale = want["l2"].get<double>();
      EXPECT_NEAR(got.norm().item<double>(), scale, 1e-9 + 1e-7 * scale) << name;
      EXPECT_NEAR(got.sum().item<double>(), want["sum"].get<double>(), 1e-9 + 1e-6 * scale * std::sqrt(got.numel()))
          << name;
      const auto first = want["first8"].get<std::vector<double>>();
      for (size_t i = 0; i < first.size(); ++i)
        EXPECT_NEAR(got[i].item<double>(), first[i], 1e-9 + 1e-6 * scale) << name << " " << i;
    }
  }

  std::shared_ptr<Transformer> teacher_, student_;
  Tensor ids_, labels_;
  json golden_;
};

TEST_P(StageGoldenTest, Align) {
  auto stage = MakeStage(StageConfig(1), *student_, teacher_.get());
  auto loss = stage->AccumulateGradients(ids_, labels_, 1);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(loss->loss, golden_["stage1_loss"].get<double>(), 1e-7);
  const auto per_layer = golden_["stage1_loss_per_layer"].get<std::vector<double>>();
  ASSERT_EQ(loss->parts.size(), per_layer.size());
  for (size_t layer = 0; layer < per_layer.size(); ++layer)
    EXPECT_NEAR(loss->parts[layer].second, per_layer[layer], 1e-7) << layer;
  ExpectGradients(*stage, golden_["grad_stage1"]);
}

TEST_P(StageGoldenTest, Logits) {
  auto stage = MakeStage(StageConfig(2), *student_, teacher_.get());
  auto loss = stage->AccumulateGradients(ids_, labels_, 1);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(loss->loss, golden_["kl_loss"].get<double>(), 1e-7);
  EXPECT_EQ(loss->parts[0].first, "kl");
  EXPECT_NEAR(loss->parts[1].second, golden_["ce_loss"].get<double>(), 1e-7);
  ExpectGradients(*stage, golden_["grad_kl"]);
}

TEST_P(StageGoldenTest, LogitsWithOnlyTheMixersLearning) {
  auto stage = MakeStage(StageConfig(21), *student_, teacher_.get());
  auto loss = stage->AccumulateGradients(ids_, labels_, 1);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(loss->loss, golden_["kl_loss"].get<double>(), 1e-7);
  auto want = golden_["grad_kl"];
  for (const auto& item : golden_["grad_kl"].items()) {
    if (item.key().find(".self_attn.") == std::string::npos) want.erase(item.key());
  }
  EXPECT_EQ(stage->Trainable().size(), want.size());
  ExpectGradients(*stage, want);
}

TEST_P(StageGoldenTest, Language) {
  auto stage = MakeStage(StageConfig(-1), *student_, nullptr);
  auto loss = stage->AccumulateGradients(ids_, labels_, 1);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(loss->loss, golden_["ce_loss"].get<double>(), 1e-7);
  for (const auto& [name, gradient] : Gradients(*stage)) {
    const Tensor want = ReadTensor(TestData("mixers/" + GetParam()) + "/grad_ce.safetensors", name);
    EXPECT_LE(RelativeError(gradient, want), 1e-6) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Students, StageGoldenTest,
                         testing::Values("rwkv6_preset", "rwkv6_alt", "rwkv7_preset", "rwkv7_alt"),
                         [](const auto& info) { return info.param; });

// The three stages with a student and a teacher of small sizes, in double.
class StageTest : public testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Stage> Make() { return MakeStage(StageConfig(GetParam(), 0.7, 0.3), *student_, teacher_.get()); }
  std::shared_ptr<Transformer> teacher_ = SmallModel("llama", at::kDouble, 1),
                               student_ = SmallModel("rad_rwkv7", at::kDouble, 2);
  RandomBatch batch_ = MakeBatch(4, 21, 97, 3);
};

TEST_P(StageTest, AccumulatedMicroBatchesEqualTheBatch) {
  auto stage = Make();
  auto whole = stage->AccumulateGradients(batch_.ids, batch_.labels, 1);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto want = Gradients(*stage);
  double sum = 0;
  for (int row = 0; row < 4; row += 2) {
    auto half =
        stage->AccumulateGradients(batch_.ids.slice(0, row, row + 2), batch_.labels.slice(0, row, row + 2), 0.5);
    ASSERT_TRUE(half.ok()) << half.status();
    sum += half->loss / 2;
  }
  EXPECT_NEAR(sum, whole->loss, 1e-12);
  for (const auto& [name, gradient] : Gradients(*stage))
    EXPECT_LE(RelativeError(gradient, want.at(name)), 1e-10) << name;
}

TEST_P(StageTest, CheckpointingGivesTheSameGradients) {
  auto stage = Make();
  auto kept = stage->AccumulateGradients(batch_.ids, batch_.labels, 1);
  ASSERT_TRUE(kept.ok()) << kept.status();
  const auto want = Gradients(*stage);
  student_->SetCheckpointing(true);
  auto recomputed = stage->AccumulateGradients(batch_.ids, batch_.labels, 1);
  ASSERT_TRUE(recomputed.ok()) << recomputed.status();
  EXPECT_EQ(recomputed->loss, kept->loss);
  for (const auto& [name, gradient] : Gradients(*stage))
    EXPECT_LE(RelativeError(gradient, want.at(name)), 1e-12) << name;
}

// Two documents in one row give the loss that each gives in a row of its own.
TEST_P(StageTest, PackedEqualsAlone) {
  student_->SetResetAtDocument(true);
  teacher_->SetResetAtDocument(true);
  auto stage = Make();
  const RandomBatch a = MakeBatch(1, 9, 97, 4), b = MakeBatch(1, 9, 97, 5);
  for (const RandomBatch* document : {&a, &b}) document->ids[0][0] = 0;  // eos begins a document
  auto packed = stage->AccumulateGradients(at::cat({a.ids, b.ids}, 1), at::cat({a.labels, b.labels}, 1), 1);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const auto want = Gradients(*stage);
  auto alone = stage->AccumulateGradients(at::cat({a.ids, b.ids}, 0), at::cat({a.labels, b.labels}, 0), 1);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_NEAR(packed->loss, alone->loss, 1e-9);
  for (const auto& [name, gradient] : Gradients(*stage))
    EXPECT_LE(RelativeError(gradient, want.at(name)), 1e-7) << name;
}

TEST_P(StageTest, TokensOutsideTheVocabularyAreRefused) {
  batch_.ids[2][3] = 97;
  auto loss = Make()->AccumulateGradients(batch_.ids, batch_.labels, 1);
  EXPECT_THAT(std::string(loss.status().message()), testing::AllOf(HasSubstr("97"), HasSubstr("tokenizer")));
}

TEST_P(StageTest, NothingIsAddedToTheTeacher) {
  for (const auto& [name, tensor] : teacher_->NamedParameters()) tensor.set_requires_grad(false);
  ASSERT_TRUE(Make()->AccumulateGradients(batch_.ids, batch_.labels, 1).ok());
  for (const auto& [name, tensor] : teacher_->NamedParameters()) EXPECT_FALSE(tensor.grad().defined()) << name;
}

INSTANTIATE_TEST_SUITE_P(Stages, StageTest, testing::Values(1, 2, 21, -1), [](const auto& info) {
  return info.param == -1 ? "language" : info.param == 1 ? "align" : info.param == 2 ? "logits" : "mixers";
});

TEST(AlignStageTest, LearnsTheMixersOnlyAndSkipsSoftmaxLayers) {
  auto teacher = SmallModel("llama"), student = SmallModel("hybrid");
  auto stage = MakeStage(StageConfig(1), *student, teacher.get());
  EXPECT_THAT(stage->description(), HasSubstr("skipped: 2"));
  for (const NamedParameter& parameter : stage->Trainable()) {
    EXPECT_THAT(parameter.name, HasSubstr(".self_attn."));
    EXPECT_THAT(parameter.name, testing::Not(HasSubstr("layers.2.")));
  }
  const RandomBatch batch = MakeBatch(1, 8, 97, 1);
  auto loss = stage->AccumulateGradients(batch.ids, batch.labels, 1);
  ASSERT_TRUE(loss.ok()) << loss.status();
  ASSERT_EQ(loss->parts.size(), 2);
  EXPECT_NEAR(loss->loss, (loss->parts[0].second + loss->parts[1].second) / 3, 1e-6);
  for (const auto& [name, tensor] : student->NamedParameters()) {
    if (name.find(".self_attn.") == std::string::npos) {
      EXPECT_FALSE(tensor.requires_grad()) << name;
    }
  }
}

TEST(AlignStageTest, RefusesAStudentThatKeepsAllAttention) {
  auto teacher = SmallModel("llama"), student = SmallModel("llama");
  EXPECT_THAT(std::string(CreateStage(StageConfig(1), *student, teacher.get()).status().message()),
              HasSubstr("nothing to learn"));
}

TEST(StageErrorsTest, SayWhatIsMissing) {
  auto teacher = SmallModel("llama"), student = SmallModel("rad_rwkv7");
  const auto message = [](const absl::StatusOr<std::unique_ptr<Stage>>& stage) {
    return std::string(stage.status().message());
  };
  EXPECT_THAT(message(CreateStage(StageConfig(1), *student, nullptr)), HasSubstr("train.load_model"));
  EXPECT_THAT(message(CreateStage(StageConfig(2), *student, nullptr)), HasSubstr("train.teacher.path"));
  EXPECT_THAT(message(CreateStage(StageConfig(3), *student, nullptr)), HasSubstr("is 3, expected 1"));
  EXPECT_THAT(message(CreateStage(StageConfig(2, 0, 0), *student, teacher.get())),
              HasSubstr("one of them must be positive"));
  EXPECT_THAT(message(CreateStage(StageConfig(1), *student, student.get())), HasSubstr("rad_rwkv7"));

  ModelConfig wider = SmallConfig("llama");
  wider.set_vocab_size(128);
  auto other = Transformer::Create(wider);
  ASSERT_TRUE(other.ok());
  EXPECT_THAT(message(CreateStage(StageConfig(2), *student, other->get())),
              testing::AllOf(HasSubstr("128"), HasSubstr("97")));
}

}  // namespace
}  // namespace radlads
