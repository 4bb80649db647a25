// The equalities that hold for every model: split == whole, solo == batched, packed == alone, and what else a
// transformer promises.
#include "model/transformer.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <map>
#include <set>

#include "base/parallel_for.h"
#include "model/testing.h"

namespace radlads {
namespace {

constexpr double kTolerance = 1e-5;

at::Tensor RandomIds(int64_t batch, int64_t time, int64_t seed = 3) {
  torch::manual_seed(seed);
  return torch::randint(1, 97, {batch, time}, torch::kLong);
}

class EveryModelTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { model_ = SmallModel(GetParam()); }
  std::shared_ptr<Transformer> model_;
  torch::NoGradGuard no_grad_;
};

TEST_P(EveryModelTest, SplitEqualsWhole) {
  const at::Tensor ids = RandomIds(2, 33);
  ModelState whole_state;
  const at::Tensor whole = model_->Forward(ids, &whole_state);
  EXPECT_LE(RelativeError(model_->Forward(ids), whole), kTolerance) << "with and without state";
  for (const std::vector<int64_t>& cuts :
       std::vector<std::vector<int64_t>>{{1, 32}, {16, 17}, {20, 13}, {1, 1, 1, 30}, {31, 1, 1}}) {
    ModelState state;
    std::vector<at::Tensor> parts;
    int64_t begin = 0;
    for (int64_t length : cuts) {
      parts.push_back(model_->Forward(ids.narrow(1, begin, length), &state));
      begin += length;
    }
    EXPECT_LE(RelativeError(at::cat(parts, 1), whole), kTolerance)
        << cuts.size() << " pieces, the first of " << cuts[0];
    for (size_t layer = 0; layer < state.layers.size(); ++layer) {
      for (const auto& [name, tensor] : whole_state.layers[layer].tensors) {
        EXPECT_LE(RelativeError(state.layers[layer].tensors.at(name), tensor), kTolerance)
            << "layer " << layer << " " << name;
      }
    }
    EXPECT_TRUE(at::equal(state.position, whole_state.position));
  }
}

// The pass of inference.h computes what the operations on tensors do, in fp32 and bf16, on one thread and on several.
TEST_P(EveryModelTest, InferenceEqualsForward) {
  const at::Tensor ids = RandomIds(2, 45);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = SmallModel(GetParam(), dtype), inferring = SmallModel(GetParam(), dtype);
    inferring->SetForInference();
    for (const int threads : {1, 3}) {
      SetThreads(threads);
      ModelState want_state, state;
      int64_t begin = 0;
      for (const int64_t length : {37, 1, 5, 1, 1}) {
        const at::Tensor piece = ids.narrow(1, begin, length);
        const at::Tensor want = model->Forward(piece, &want_state), got = inferring->Forward(piece, &state);
        EXPECT_EQ(got.scalar_type(), want.scalar_type());
        const double tolerance = dtype == at::kFloat ? kTolerance : 5e-2;
        EXPECT_LE(RelativeError(got, want), tolerance) << dtype << " token " << begin << ", " << threads << " threads";
        begin += length;
      }
      ASSERT_EQ(state.layers.size(), want_state.layers.size());
      for (size_t layer = 0; layer < state.layers.size(); ++layer) {
        ASSERT_EQ(state.layers[layer].tensors.size(), want_state.layers[layer].tensors.size());
        for (const auto& [name, want] : want_state.layers[layer].tensors) {
          const at::Tensor got = state.layers[layer].tensors.at(name);
          EXPECT_EQ(got.scalar_type(), want.scalar_type()) << name;
          EXPECT_LE(RelativeError(got, want), dtype == at::kFloat ? kTolerance : 5e-2)
              << "layer " << layer << " " << name;
        }
      }
      EXPECT_TRUE(at::equal(state.position, want_state.position));
      EXPECT_LE(RelativeError(inferring->Forward(ids), model->Forward(ids)), dtype == at::kFloat ? kTolerance : 5e-2)
          << "without state";
    }
    SetThreads(1);
  }
}

// A state that others hold too is not written to.
TEST_P(EveryModelTest, InferenceLeavesStatesOfOthersAlone) {
  const auto model = SmallModel(GetParam());
  model->SetForInference();
  const at::Tensor ids = RandomIds(1, 9);
  ModelState state;
  model->Forward(ids, &state);
  ModelState shared = state;  // the same tensors
  const ModelState copy = state.Copy();
  const at::Tensor first = model->Forward(ids.narrow(1, 0, 1), &state);
  for (size_t layer = 0; layer < copy.layers.size(); ++layer) {
    for (const auto& [name, tensor] : copy.layers[layer].tensors) {
      EXPECT_TRUE(at::equal(shared.layers[layer].tensors.at(name), tensor)) << "layer " << layer << " " << name;
    }
  }
  EXPECT_TRUE(at::equal(model->Forward(ids.narrow(1, 0, 1), &shared), first));
}

TEST_P(EveryModelTest, SoloEqualsBatched) {
  const at::Tensor ids = RandomIds(3, 21);
  ModelState together;
  const at::Tensor batched = model_->Forward(ids, &together);
  for (int64_t row = 0; row < 3; ++row) {
    ModelState alone;
    const at::Tensor solo = model_->Forward(ids.narrow(0, row, 1), &alone);
    EXPECT_LE(RelativeError(batched.narrow(0, row, 1), solo), kTolerance) << "row " << row;
  }
}

TEST_P(EveryModelTest, PackedEqualsAlone) {
  model_->SetResetAtDocument(true);
  const at::Tensor eos = torch::zeros({1, 1}, torch::kLong);
  const at::Tensor a = RandomIds(1, 11, 7), b = at::cat({eos, RandomIds(1, 8, 8)}, 1),
                   c = at::cat({eos, RandomIds(1, 15, 9)}, 1);
  const at::Tensor packed_ids = at::cat({a, b, c}, 1);
  ModelState packed_state, last_state;
  const at::Tensor packed = model_->Forward(packed_ids, &packed_state);
  EXPECT_LE(RelativeError(packed.narrow(1, 0, 11), model_->Forward(a)), kTolerance);
  EXPECT_LE(RelativeError(packed.narrow(1, 11, 9), model_->Forward(b)), kTolerance);
  EXPECT_LE(RelativeError(packed.narrow(1, 20, 16), model_->Forward(c, &last_state)), kTolerance);
  EXPECT_TRUE(at::equal(packed_state.position, last_state.position));

  // The same cut anywhere, with state carried over.
  for (int64_t cut : {5, 11, 12, 25}) {
    ModelState state;
    const at::Tensor parts = at::cat({model_->Forward(packed_ids.narrow(1, 0, cut), &state),
                                      model_->Forward(packed_ids.narrow(1, cut, 36 - cut), &state)},
                                     1);
    EXPECT_LE(RelativeError(parts, packed), kTolerance) << "cut at " << cut;
  }

  // Without the reset the documents do see each other: the test above can fail.
  model_->SetResetAtDocument(false);
  EXPECT_GT(RelativeError(model_->Forward(packed_ids).narrow(1, 20, 16), packed.narrow(1, 20, 16)), 1e-3);
}

TEST_P(EveryModelTest, TheFutureIsNotSeen) {
  at::Tensor ids = RandomIds(1, 20);
  const at::Tensor before = model_->Forward(ids);
  ids[0][15] = (ids[0][15].item<int64_t>() + 1) % 96 + 1;
  const at::Tensor after = model_->Forward(ids);
  EXPECT_LE(RelativeError(after.narrow(1, 0, 15), before.narrow(1, 0, 15)), 1e-6);
  EXPECT_GT(RelativeError(after.narrow(1, 15, 5), before.narrow(1, 15, 5)), 1e-3);
}

TEST_P(EveryModelTest, StateSurvivesTheDisk) {
  const at::Tensor ids = RandomIds(2, 12), next = RandomIds(2, 5, 10);
  ModelState state;
  model_->Forward(ids, &state);
  const std::string path = testing::TempDir() + "/state_" + GetParam() + ".safetensors";
  ASSERT_TRUE(state.Save(path).ok());
  auto loaded = ModelState::Load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->ByteSize(), state.ByteSize());
  EXPECT_TRUE(at::equal(model_->Forward(next, &*loaded), model_->Forward(next, &state)));
}

TEST_P(EveryModelTest, Bfloat16ComputeIsCloseToFloat) {
  const at::Tensor ids = RandomIds(2, 40);
  const at::Tensor exact = model_->Logits(model_->Forward(ids));
  model_->SetComputeDtype(at::kBFloat16);
  const at::Tensor rounded = model_->Logits(model_->Forward(ids));
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  EXPECT_LE(RelativeError(rounded, exact), 0.05);
}

TEST_P(EveryModelTest, CheckpointingChangesNoGradient) {
  at::AutoGradMode with_grad(true);
  const at::Tensor ids = RandomIds(2, 18);
  auto gradients = [&](bool checkpointing) {
    model_->SetCheckpointing(checkpointing);
    model_->zero_grad();
    model_->Logits(model_->Forward(ids)).logsumexp(-1).mean().backward();
    std::vector<at::Tensor> result;
    for (const auto& [name, parameter] : model_->NamedParameters()) {
      result.push_back(parameter.grad().defined() ? parameter.grad().clone() : at::zeros_like(parameter));
    }
    return result;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  const auto parameters = model_->NamedParameters();
  for (size_t i = 0; i < plain.size(); ++i)
    EXPECT_LE(RelativeError(recomputed[i], plain[i]), 1e-6) << parameters[i].first;
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryModelTest, testing::ValuesIn(SmallKinds()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

// A token must not cost a copy of all keys and values before it.
TEST(TransformerTest, KeysAndValuesOfInferenceGrowInPlace) {
  auto model = SmallModel("llama");
  model->SetForInference();
  torch::NoGradGuard no_grad;
  ModelState state;
  model->Forward(RandomIds(2, 10), &state);
  std::map<std::string, std::set<const void*>> memory;
  for (int token = 0; token < 300; ++token) {
    model->Forward(RandomIds(2, 1, token), &state);
    for (const auto& [name, tensor] : state.layers[0].tensors) memory[name].insert(tensor.const_data_ptr());
  }
  for (const char* name : {"key", "value"}) {
    EXPECT_EQ(state.layers[0].tensors.at(name).size(2), 310);
    EXPECT_LE(memory[name].size(), 5u) << name << ": as many copies for 300 tokens";
  }
}

TEST(TransformerTest, StudentsStateDoesNotGrow) {
  torch::NoGradGuard no_grad;
  auto student = SmallModel("rad_rwkv7"), teacher = SmallModel("qwen2");
  ModelState student_state, teacher_state;
  student->Forward(RandomIds(1, 4), &student_state);
  teacher->Forward(RandomIds(1, 4), &teacher_state);
  const int64_t student_bytes = student_state.ByteSize(), teacher_bytes = teacher_state.ByteSize();
  student->Forward(RandomIds(1, 60), &student_state);
  teacher->Forward(RandomIds(1, 60), &teacher_state);
  EXPECT_EQ(student_state.ByteSize(), student_bytes);
  EXPECT_GT(teacher_state.ByteSize(), 10 * teacher_bytes);
}

TEST(TransformerTest, ContradictoryConfigsAreRefusedWithEveryProblem) {
  ModelConfig config = SmallConfig("qwen2");
  config.clear_vocab_size();
  config.set_n_layer(0);
  auto model = Transformer::Create(config);
  ASSERT_FALSE(model.ok());
  const std::string message(model.status().message());
  EXPECT_NE(message.find("vocab_size"), std::string::npos) << message;
  EXPECT_NE(message.find("n_layer"), std::string::npos) << message;
}

}  // namespace
}  // namespace radlads
