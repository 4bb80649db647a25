#include "model/pretrained.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/quantized.h"
#include "model/checkpoint/safetensors.h"
#include "model/testing.h"

namespace radlads {
namespace {

std::string FreshDirectory(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(path);
  EXPECT_TRUE(MakeDirectories(path).ok());
  return path;
}

at::Tensor Parameter(const Transformer& model, const std::string& name) {
  for (const auto& [known, tensor] : model.NamedParameters()) {
    if (known == name) return tensor;
  }
  ADD_FAILURE() << "no parameter " << name;
  return at::Tensor();
}

class RoundTripTest : public testing::TestWithParam<std::string> {};

TEST_P(RoundTripTest, ExportedEqualsImported) {
  torch::NoGradGuard no_grad;
  auto model = SmallModel(GetParam());
  const std::string directory = FreshDirectory("export_" + GetParam());
  ASSERT_TRUE(SaveTransformer(*model, directory, at::kFloat, "").ok());
  auto loaded = LoadTransformer(directory);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto before = model->NamedParameters(), after = (*loaded)->NamedParameters();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(at::equal(before[i].second, after[i].second)) << before[i].first;
  }
  const at::Tensor ids = torch::arange(1, 30, torch::kLong).view({1, 29});
  EXPECT_TRUE(at::equal(model->Logits(model->Forward(ids)), (*loaded)->Logits((*loaded)->Forward(ids))));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RoundTripTest, testing::ValuesIn(SmallKinds()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

// A directory with the model's matrices in blocks of `kind`.
std::string SaveQuantized(const Transformer& model, WeightKind kind, const std::string& name) {
  const std::string directory = FreshDirectory(name);
  NamedTensors tensors;
  for (const auto& [parameter, value] : model.NamedParameters()) {
    TensorInfo info;
    info.name = parameter;
    info.shape = value.sizes().vec();
    if (!CanBeQuantized(info)) {
      tensors.emplace_back(parameter, value.detach());
      continue;
    }
    auto blocks = QuantizeTensor(value.detach(), kind);
    EXPECT_TRUE(blocks.ok()) << blocks.status();
    tensors.emplace_back(StoredName(parameter, kind), *blocks);
  }
  EXPECT_TRUE(WriteSafetensors(JoinPath(directory, "model.safetensors"), tensors).ok());
  const std::string config = ModelConfigToJson(model.config(), at::kFloat, /*quantized=*/true);
  EXPECT_TRUE(WriteFileAtomically(JoinPath(directory, "config.json"), config).ok());
  return directory;
}

class InferenceTest : public testing::TestWithParam<std::string> {
 protected:
  torch::NoGradGuard no_grad_;
};

TEST_P(InferenceTest, QuantizedWeightsComputeWhatTheirNumbersDo) {
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    const std::string directory = SaveQuantized(*SmallModel(GetParam()), kind, "quantized_" + GetParam());
    auto numbers = LoadTransformer(directory), model = LoadForInference(directory, at::kFloat);
    ASSERT_TRUE(numbers.ok() && model.ok()) << numbers.status() << model.status();
    EXPECT_TRUE((*model)->HasPackedWeights());
    EXPECT_FALSE((*numbers)->HasPackedWeights());
    for (const auto& [name, parameter] : (*model)->NamedParameters()) EXPECT_FALSE(parameter.requires_grad()) << name;
    for (const int64_t length : {1, 29, 90}) {
      const at::Tensor ids = torch::arange(2 * length, torch::kLong).remainder(96).view({2, length});
      const at::Tensor want = (*numbers)->Logits((*numbers)->Forward(ids));
      EXPECT_LE(RelativeError((*model)->Logits((*model)->Forward(ids)), want), 5e-6) << length;
    }
    EXPECT_LE(RelativeError((*model)->HeadWeight(), (*numbers)->HeadWeight()), 0);
    auto rounded = LoadForInference(directory, at::kBFloat16);
    ASSERT_TRUE(rounded.ok()) << rounded.status();
    const at::Tensor ids = torch::arange(1, 20, torch::kLong).view({1, 19});
    const at::Tensor want = (*numbers)->Logits((*numbers)->Forward(ids));
    EXPECT_LE(RelativeError((*rounded)->Logits((*rounded)->Forward(ids)), want), 0.05);
  }
}

TEST_P(InferenceTest, PlainWeightsComputeWhatTheyDoInTraining) {
  auto trained = SmallModel(GetParam());
  const std::string directory = FreshDirectory("plain_" + GetParam());
  ASSERT_TRUE(SaveTransformer(*trained, directory, at::kFloat, "").ok());
  auto model = LoadForInference(directory, at::kFloat);
  ASSERT_TRUE(model.ok()) << model.status();
  const at::Tensor ids = torch::arange(1, 90, torch::kLong).view({1, 89});
  ModelState state;
  const at::Tensor prompt = (*model)->Forward(ids.narrow(1, 0, 80), &state);
  std::vector<at::Tensor> parts = {prompt};
  for (int64_t t = 80; t < 89; ++t) parts.push_back((*model)->Forward(ids.narrow(1, t, 1), &state));
  EXPECT_LE(RelativeError((*model)->Logits(at::cat(parts, 1)), trained->Logits(trained->Forward(ids))), 2e-6);
}

TEST_P(InferenceTest, PackedModelsAreNeitherTrainedNorWritten) {
  auto trained = SmallModel(GetParam());
  const std::string plain = FreshDirectory("refused_plain_" + GetParam());
  ASSERT_TRUE(SaveTransformer(*trained, plain, at::kFloat, "").ok());
  for (const std::string& directory : {SaveQuantized(*trained, WeightKind::kQ4, "refused_" + GetParam()), plain}) {
    auto model = LoadForInference(directory, at::kFloat);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_TRUE((*model)->HasPackedWeights()) << directory;
    const std::string to = FreshDirectory("refused_copy_" + GetParam());
    EXPECT_EQ(SaveTransformer(**model, to, at::kFloat, "").code(), absl::StatusCode::kFailedPrecondition) << directory;
    EXPECT_EQ(CreateStudent((*model)->config(), **model, 1).status().code(), absl::StatusCode::kFailedPrecondition)
        << directory;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, InferenceTest, testing::ValuesIn(SmallKinds()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

TEST(InferenceGgufTest, BlocksStayAndTheOthersAreNumbers) {
  torch::NoGradGuard no_grad;
  const std::string file = "model/checkpoint/testdata/tiny_llama.gguf";
  auto model = LoadForInference(file, at::kFloat), numbers = LoadTransformer(file);
  ASSERT_TRUE(model.ok() && numbers.ok()) << model.status() << numbers.status();
  const at::Tensor ids = torch::arange(1, 20, torch::kLong).view({1, 19});
  EXPECT_LE(RelativeError((*model)->Logits((*model)->Forward(ids)), (*numbers)->Logits((*numbers)->Forward(ids))), 2e-6);
}

TEST(CreateStudentTest, WhatIsSharedIsCopiedBitForBit) {
  for (const char* teacher_kind : {"llama", "qwen2", "qwen3"}) {
    auto teacher = SmallModel(teacher_kind);
    for (const char* student_kind : {"rad_rwkv6", "rad_rwkv7"}) {
      ModelConfig wish;
      wish.set_tmix(student_kind);
      wish.set_gate_rank_type(2);
      auto config = StudentConfig(wish, teacher->config());
      ASSERT_TRUE(config.ok()) << config.status();
      auto student = CreateStudent(*config, *teacher, 7);
      ASSERT_TRUE(student.ok()) << student.status();
      for (const auto& [name, tensor] : teacher->NamedParameters()) {
        EXPECT_TRUE(at::equal(Parameter(**student, name), tensor)) << teacher_kind << " -> " << student_kind << ": " << name;
      }
      for (const auto& [name, tensor] : (*student)->NamedParameters()) {
        EXPECT_TRUE(tensor.isfinite().all().item<bool>()) << name << " was left uninitialised";
      }
    }
  }
}

TEST(CreateStudentTest, PreservedLayersAreTheTeachers) {
  torch::NoGradGuard no_grad;
  auto teacher = SmallModel("qwen3");
  ModelConfig wish;
  wish.set_tmix("rad_rwkv7");
  wish.set_preserve_last_n_layers(3);
  auto config = StudentConfig(wish, teacher->config());
  ASSERT_TRUE(config.ok()) << config.status();
  auto student = CreateStudent(*config, *teacher, 7);
  ASSERT_TRUE(student.ok()) << student.status();
  const at::Tensor ids = torch::arange(1, 30, torch::kLong).view({1, 29});
  EXPECT_TRUE(at::equal((*student)->Forward(ids), teacher->Forward(ids)));
}

TEST(CreateStudentTest, TheSeedDecides) {
  auto teacher = SmallModel("llama");
  ModelConfig wish;
  wish.set_tmix("rad_rwkv7");
  auto config = StudentConfig(wish, teacher->config());
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string name = "model.layers.1.self_attn.a2";
  auto a = CreateStudent(*config, *teacher, 1), b = CreateStudent(*config, *teacher, 1), c = CreateStudent(*config, *teacher, 2);
  EXPECT_TRUE(at::equal(Parameter(**a, name), Parameter(**b, name)));
  EXPECT_FALSE(at::equal(Parameter(**a, name), Parameter(**c, name)));
}

TEST(CreateStudentTest, InitialValuesOfRadlads) {
  auto text = ReadFile(TestData("mixers/init_golden.json"));
  ASSERT_TRUE(text.ok()) << text.status();
  const auto golden = nlohmann::json::parse(*text);
  ModelConfig teacher_config = SmallConfig("qwen2");
  teacher_config.set_n_embd(golden["channels"].get<int64_t>());
  teacher_config.set_n_layer(golden["layers"].get<int64_t>());
  auto teacher = CreateRandom(teacher_config, 1);
  ASSERT_TRUE(teacher.ok()) << teacher.status();
  for (const auto& [kind, key, parameter] : {std::tuple("rad_rwkv6", "rwkv6_time_decay", "time_decay"),
                                             std::tuple("rad_rwkv7", "rwkv7_w0", "w0")}) {
    ModelConfig wish;
    wish.set_tmix(kind);
    auto config = StudentConfig(wish, teacher_config);
    ASSERT_TRUE(config.ok()) << config.status();
    auto student = CreateStudent(*config, **teacher, 1, at::kDouble);
    ASSERT_TRUE(student.ok()) << student.status();
    for (size_t layer = 0; layer < golden[key].size(); ++layer) {
      const std::vector<double> values = golden[key][layer].get<std::vector<double>>();
      const at::Tensor want = torch::tensor(values, torch::kDouble).view({1, 1, -1});
      const at::Tensor got = Parameter(**student, "model.layers." + std::to_string(layer) + ".self_attn." + parameter);
      EXPECT_LE(RelativeError(got, want), 1e-12) << kind << " layer " << layer;
    }
  }
}

TEST(StudentConfigTest, ContradictionsAreListedTogether) {
  ModelConfig wish;
  wish.set_tmix("rad_rwkv7");
  wish.set_n_layer(5);
  wish.set_n_embd(32);
  auto config = StudentConfig(wish, SmallConfig("qwen2"));
  ASSERT_FALSE(config.ok());
  const std::string message(config.status().message());
  EXPECT_NE(message.find("n_layer is 5, the teacher's is 3"), std::string::npos) << message;
  EXPECT_NE(message.find("n_embd is 32, the teacher's is 64"), std::string::npos) << message;
}

TEST(LoadWeightsTest, EveryMismatchIsListedAtOnce) {
  auto model = SmallModel("qwen2");
  const std::string directory = FreshDirectory("mismatch");
  ASSERT_TRUE(SaveTransformer(*model, directory, at::kFloat, "").ok());
  ModelConfig other = SmallConfig("rad_rwkv7");
  other.set_dim_ffn(64);
  auto student = Transformer::Create(other);
  ASSERT_TRUE(student.ok()) << student.status();
  const absl::Status status = LoadWeights(directory, **student);
  ASSERT_FALSE(status.ok());
  const std::string message(status.message());
  EXPECT_NE(message.find("missing: model.layers.0.self_attn.w0"), std::string::npos) << message;
  EXPECT_NE(message.find("missing: model.layers.2.self_attn.g1"), std::string::npos) << message;
  EXPECT_NE(message.find("shape: model.layers.1.mlp.gate_proj.weight is [96,64] in the file, expected [64,64]"), std::string::npos)
      << message;
}

// A config.json of ours names one end token; a list of them goes where transformers and we read it.
TEST(SaveTransformerTest, TokenizerFilesAndEveryEndTokenAreCopied) {
  const std::string from = FreshDirectory("tokenizer_from"), to = FreshDirectory("tokenizer_to");
  const std::pair<const char*, const char*> files[] = {{"tokenizer.json", "{}"},
                                                       {"config.json", R"({"eos_token_id": [3, 5, 7]})"},
                                                       {"generation_config.json", R"({"temperature": 0.5, "eos_token_id": 5})"},
                                                       {"additional_chat_templates/rag.jinja", "r"},
                                                       {"chat_template.json", R"({"chat_template": "t"})"}};
  ASSERT_TRUE(MakeDirectories(from + "/additional_chat_templates").ok());
  for (const auto& [name, text] : files) ASSERT_TRUE(WriteFileAtomically(from + "/" + name, text).ok());
  const absl::Status saved = SaveTransformer(*SmallModel("llama"), to, at::kFloat, from);
  ASSERT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(nlohmann::json::parse(*ReadFile(to + "/generation_config.json")),
            (nlohmann::json{{"temperature", 0.5}, {"eos_token_id", {5, 3, 7}}}));
  for (const char* name : {"tokenizer.json", "additional_chat_templates/rag.jinja", "chat_template.json"}) {
    EXPECT_EQ(*ReadFile(to + "/" + name), *ReadFile(from + "/" + name)) << name;
  }
  std::filesystem::remove(from + "/generation_config.json");
  ASSERT_TRUE(SaveTransformer(*SmallModel("llama"), to, at::kFloat, from).ok());
  EXPECT_EQ(nlohmann::json::parse(*ReadFile(to + "/generation_config.json"))["eos_token_id"], (nlohmann::json{3, 5, 7}));
}

TEST(ResolveModelDirectoryTest, RunsAndDirectories) {
  auto model = SmallModel("llama");
  const std::string run = FreshDirectory("run");
  EXPECT_EQ(ResolveModelDirectory(run + "/nowhere").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ResolveModelDirectory(run).status().code(), absl::StatusCode::kNotFound);
  const auto message = [](const std::string& path) { return std::string(ResolveModelDirectory(path).status().message()); };
  EXPECT_NE(message("HuggingFaceTB/SmolLM2-135M").find("hf download HuggingFaceTB/SmolLM2-135M"), std::string::npos);
  for (const std::string& path : {run + "/nowhere", std::string("./a"), std::string("nowhere")}) {
    EXPECT_EQ(message(path).find("Hugging Face"), std::string::npos) << path;
  }
  for (const char* name : {"step-000900", "step-001000", "final"}) {
    ASSERT_TRUE(MakeDirectories(run + "/" + name).ok());
    ASSERT_TRUE(SaveTransformer(*model, run + "/" + name, at::kFloat, "").ok());
    auto resolved = ResolveModelDirectory(run);
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(*resolved, run + "/" + name);
  }
}

}  // namespace
}  // namespace radlads
