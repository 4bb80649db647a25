// The recipes: each loads, fits its companions, and says what the reference's own files say.
#include <google/protobuf/util/message_differencer.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "configs/loader.h"
#include "configs/pipeline.h"
#include "configs/radlads_names.h"

namespace radlads {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

std::vector<std::string> Recipes(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("configs/" + folder)) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Config Stack(const std::vector<std::string>& files, const std::vector<std::string>& options = {}) {
  std::vector<std::string> arguments = {"program"};
  for (const std::string& file : files) arguments.push_back("--config=" + file);
  arguments.insert(arguments.end(), options.begin(), options.end());
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Config config;
  CommandLine command;
  const absl::Status status = ParseCommandLine(static_cast<int>(argv.size()), argv.data(), config, command);
  EXPECT_TRUE(status.ok()) << status.message();
  return config;
}

Config Inline(const std::vector<std::string>& texts) {
  Config config;
  std::vector<std::string> notes;
  for (const std::string& text : texts) {
    const absl::Status status = MergeYaml(text, "inline.yaml", config, &notes);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return config;
}

// A file that changes another one and does not stand alone: stacked after its base.
std::vector<std::string> WithBase(const std::string& path) {
  if (path.find("qwen2.5-base") != std::string::npos) return {"configs/teachers/qwen2.5-7b.yaml", path};
  if (path.find("rad_rwkv6-") != std::string::npos) return {"configs/students/rad_rwkv6.yaml", path};
  return {path};
}

TEST(Recipes, AreAllThere) {
  EXPECT_EQ(Recipes("teachers").size(), 17u);
  EXPECT_EQ(Recipes("students").size(), 7u);
  EXPECT_EQ(Recipes("stages").size(), 8u);
}

TEST(Recipes, SayWhatTheyAreAndRoundTrip) {
  for (const char* folder : {"teachers", "students", "stages", ""}) {
    for (const std::string& path : Recipes(folder)) {
      const auto text = ReadFile(path);
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(text->rfind("# ", 0), 0u) << path << " does not begin with a comment that says what it is";
      EXPECT_TRUE(text->find("huggingface.co/") != std::string::npos || text->find("arXiv") != std::string::npos)
          << path << " does not name its source";
      const Config config = Stack({path});
      Config again;
      ASSERT_TRUE(MergeYaml(ToYaml(config), path, again).ok()) << ToYaml(config);
      EXPECT_TRUE(MessageDifferencer::Equals(config, again)) << path << "\n" << ToYaml(config);
    }
  }
}

TEST(Recipes, EveryTeacherStudentAndStageFitTogether) {
  for (const std::string& teacher : Recipes("teachers")) {
    for (const std::string& student : Recipes("students")) {
      for (const std::string& stage : Recipes("stages")) {
        std::vector<std::string> files = WithBase(teacher);
        for (const std::string& file : WithBase(student)) files.push_back(file);
        files.push_back(stage);
        const Config config = Stack(files, {"--train.load_model=x", "--train.teacher.path=y"});
        const absl::Status status = Validate(config);
        EXPECT_TRUE(status.ok()) << teacher << " " << student << " " << stage << ":\n" << status.message();
        EXPECT_EQ(config.model().tmix().rfind("rad_rwkv", 0), 0u);
        EXPECT_NE(config.model().tmix2(), "");
        EXPECT_GT(config.model().n_layer(), 0);
      }
    }
  }
}

TEST(Recipes, QuickstartRunsThreeStages) {
  for (const std::vector<std::string>& files :
       {std::vector<std::string>{"configs/quickstart.yaml"},
        std::vector<std::string>{"configs/teachers/smollm2-135m.yaml", "configs/quickstart.yaml"}}) {
    const Config config = Stack(files);
    EXPECT_TRUE(Validate(config).ok()) << Validate(config).message();
    const auto runs = ExpandPipeline(config);
    ASSERT_TRUE(runs.ok()) << runs.status();
    ASSERT_EQ(runs->size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      const int64_t stages[] = {1, 2, -1};
      EXPECT_EQ((*runs)[i].train().attention_distillation_stage(), stages[i]);
      EXPECT_EQ(RunDirectory((*runs)[i].train(), (*runs)[i].model()), "out/quickstart/stage" + std::to_string(i + 1));
    }
    EXPECT_EQ((*runs)[0].model().init().gate(), 0.3);
    EXPECT_EQ((*runs)[0].train().load_model(), (*runs)[0].train().teacher().path());
    EXPECT_EQ((*runs)[2].train().load_model(), "out/quickstart/stage2");
  }
}

// What the reference's files say, in their own spelling.
constexpr char kQwen7b[] = R"(
model:
    __type__: configs.Transformer_Config
    tmix: qwen2
    tmix2: qwen2
    classname: qwen2
    ctx_len: 512 # 4096
    vocab_size: 152064
    vocab_padding_idx: 151646
    num_key_value_heads: 4
    head_size: 128
    n_embd: 3584
    dim_ffn: 18944
    n_layer: 28
    rope:
        __type__: configs.RoPE_Config
        base: 1000000.0
)";
constexpr char kQwerky7[] =
    "model: {tmix: qwerky7, attention_type: rwkv7_wind_backstepping_longhead, reinit_att: 0, gate_rank_type: 2,\n"
    "  use_pos_emb: 1, balance_state: 0, groupnorm_att: 1}\n";
constexpr char kTeacher7b[] = R"(
train:
  teacher:
    path: out/Qwen2.5-7B-Instruct.pth
    model:
      __type__: configs.Transformer_Config
      classname: qwen2
      ctx_len: 512
      vocab_size: 152064
      vocab_padding_idx: 151646
      num_key_value_heads: 4
      head_size: 128
      n_embd: 3584
      dim_ffn: 18944
      rms_norm_eps: 1e-6
      n_layer: 28
      rope:
          __type__: configs.RoPE_Config
          base: 1000000.0
)";
constexpr char kDistill1[] = R"(
model:
  ctx_len: 512
train:
  proj_suffix: 1
  train_stage: 3
  load_partial: 1
  data_type: "binidx"
  data_file: "data/dclm-10B"
  my_exit_tokens: 100000000
  magic_prime: 2929793
  optimizer: dsfusedadamw
  lr_decay_type: cos
  lr_init: 1e-3
  lr_final: 1e-5
  warmup_steps: 50
  beta1: 0.9
  beta2: 0.95
  adam_eps: 1e-8
  weight_decay: 0
  devices: 8
  num_nodes: 1
  micro_bsz: 4
  accumulate_grad_batches: 1 # total bsz 32
  strategy: deepspeed_stage_1
  grad_cp: 0
  ds_bucket_mb: 200
  attention_distillation_stage: 1
)";
constexpr char kDistill2[] = R"(
model: {ctx_len: 512}
train:
  wandb: qwen2rwkv
  proj_suffix: 2
  train_stage: 3
  load_partial: 0
  data_type: "binidx"
  data_file: "data/dclm-10B"
  my_exit_tokens: 500000000
  magic_prime: 2913641
  optimizer: dsfusedadamw
  lr_wait: 0.833
  lr_endpoint: 0.875
  lr_decay_type: cos
  lr_init: 1e-5
  lr_final: 1e-5
  lr2_init: 1e-5
  lr2_final: 1e-5
  warmup_steps: 50
  beta1: 0.9
  beta2: 0.95
  adam_eps: 1e-8
  weight_decay: 0
  devices: 8
  num_nodes: 1
  micro_bsz: 12
  accumulate_grad_batches: 1
  strategy: deepspeed_stage_1
  grad_cp: 1
  ds_bucket_mb: 200
  epoch_save: 5
  attention_distillation_stage: 2
  teacher: {kl_weight: 1.0, ce_weight: 0.0}
)";
constexpr char kDistill3[] = R"(
model: {ctx_len: 512}
train:
  wandb: qwen2rwkv
  proj_suffix: 4
  train_stage: 3
  load_partial: 0
  data_type: "binidx"
  data_file: "data/dclm-10B"
  my_exit_tokens: 250000000
  magic_prime: 2929793
  optimizer: dsfusedadamw
  lr_wait: 0.8
  lr_decay_type: linear
  lr_init: 7e-6
  lr_final: 7e-6
  warmup_steps: 50
  beta1: 0.9
  beta2: 0.95
  adam_eps: 1e-8
  weight_decay: 0
  devices: 8
  num_nodes: 1
  micro_bsz: 12
  accumulate_grad_batches: 1
  strategy: fsdp
  grad_cp: 1
  ds_bucket_mb: 200
  epoch_save: 1
)";

// Merging what the reference says over the recipes must change nothing (but what is spelt out that was a default).
void ExpectSame(const Config& reference, const Config& recipes) {
  Config merged = recipes;
  merged.MergeFrom(reference);
  EXPECT_EQ(ToYaml(merged), ToYaml(recipes));
}

TEST(PublishedCommandLines, Stage1) {
  const Config reference = Inline({kQwen7b, kQwerky7, kDistill1, "train: {load_model: X}"});
  const ModelConfig& model = reference.model();
  EXPECT_EQ(model.tmix(), "rad_rwkv7");
  EXPECT_EQ(model.tmix2(), "qwen2");
  EXPECT_EQ(model.ctx_len(), 512);
  EXPECT_EQ(model.vocab_size(), 152064);
  EXPECT_EQ(model.vocab_padding_idx(), 151646);
  EXPECT_EQ(model.num_key_value_heads(), 4);
  EXPECT_EQ(model.head_size(), 128);
  EXPECT_EQ(model.n_embd(), 3584);
  EXPECT_EQ(model.dim_ffn(), 18944);
  EXPECT_EQ(model.n_layer(), 28);
  EXPECT_EQ(model.rms_norm_eps(), 1e-6);
  EXPECT_EQ(model.rope().base(), 1e6);
  EXPECT_FALSE(model.reinit_att());
  EXPECT_EQ(model.gate_rank_type(), 2);
  EXPECT_TRUE(model.use_pos_emb());
  EXPECT_FALSE(model.balance_state());
  EXPECT_TRUE(model.groupnorm_att());
  const TrainConfig& train = reference.train();
  EXPECT_EQ(train.attention_distillation_stage(), 1);
  EXPECT_EQ(train.load_model(), "X");
  EXPECT_EQ(train.data_file(), "data/dclm-10B");
  EXPECT_EQ(train.my_exit_tokens(), 100000000);
  EXPECT_EQ(train.magic_prime(), 2929793);
  EXPECT_EQ(train.optimizer(), "adamw");
  EXPECT_EQ(train.lr_decay_type(), "cos");
  EXPECT_EQ(train.lr_init(), 1e-3);
  EXPECT_EQ(train.lr_final(), 1e-5);
  EXPECT_EQ(train.warmup_steps(), 50);
  EXPECT_EQ(train.beta1(), 0.9);
  EXPECT_EQ(train.beta2(), 0.95);
  EXPECT_EQ(train.adam_eps(), 1e-8);
  EXPECT_EQ(train.weight_decay(), 0);
  EXPECT_EQ(train.gradient_clip_val(), 1);
  EXPECT_EQ(train.devices() * train.num_nodes() * train.micro_bsz() * train.accumulate_grad_batches(), 32);
  EXPECT_FALSE(train.grad_cp());
  EXPECT_EQ(RunDirectory(train, model), "out/L28-D3584-rad_rwkv7_qwen2-1");
  EXPECT_TRUE(Validate(reference).ok()) << Validate(reference).message();

  ExpectSame(reference, Stack({"configs/qwen7b.yaml", "configs/qwerky7.yaml", "configs/distill1.yaml"},
                              {"--train.load_model", "X"}));
}

TEST(PublishedCommandLines, Stage2) {
  const Config reference = Inline({kQwen7b, kQwerky7, kTeacher7b, kDistill2, "train: {load_model: X}"});
  const TrainConfig& train = reference.train();
  EXPECT_EQ(train.attention_distillation_stage(), 2);
  EXPECT_EQ(train.teacher().path(), "out/Qwen2.5-7B-Instruct.pth");
  EXPECT_EQ(train.teacher().kl_weight(), 1);
  EXPECT_EQ(train.teacher().ce_weight(), 0);
  EXPECT_EQ(train.teacher().model().n_embd(), 3584);
  EXPECT_EQ(train.teacher().model().rope().base(), 1e6);
  EXPECT_EQ(train.lr_wait(), 0.833);
  EXPECT_EQ(train.lr_endpoint(), 0.875);
  EXPECT_EQ(train.lr2_init(), 1e-5);
  EXPECT_EQ(train.lr2_final(), 1e-5);
  EXPECT_EQ(train.my_exit_tokens(), 500000000);
  EXPECT_EQ(train.magic_prime(), 2913641);
  EXPECT_TRUE(train.grad_cp());
  EXPECT_EQ(train.epoch_save(), 5);
  EXPECT_TRUE(Validate(reference).ok()) << Validate(reference).message();

  ExpectSame(reference,
             Stack({"configs/qwen7b.yaml", "configs/qwerky7.yaml", "configs/qwen7binstructteacher.yaml",
                    "configs/distill2.yaml"},
                   {"--train.load_model", "X"}));
}

TEST(PublishedCommandLines, Stage3) {
  const Config reference = Inline({kQwen7b, kQwerky7, kTeacher7b, kDistill3, "train: {load_model: X}"});
  const TrainConfig& train = reference.train();
  EXPECT_EQ(train.attention_distillation_stage(), -1);
  EXPECT_EQ(train.teacher().kl_weight(), 0.5);
  EXPECT_EQ(train.teacher().ce_weight(), 0.5);
  EXPECT_EQ(train.lr_decay_type(), "linear");
  EXPECT_EQ(train.lr_init(), 7e-6);
  EXPECT_EQ(train.lr_wait(), 0.8);
  EXPECT_EQ(train.lr_endpoint(), 1);
  EXPECT_EQ(train.lr2_init(), -1);
  EXPECT_EQ(train.my_exit_tokens(), 250000000);
  EXPECT_EQ(RunDirectory(train, reference.model()), "out/L28-D3584-rad_rwkv7_qwen2-4");
  EXPECT_TRUE(Validate(reference).ok()) << Validate(reference).message();

  ExpectSame(reference,
             Stack({"configs/qwen7b.yaml", "configs/qwerky7.yaml", "configs/qwen7binstructteacher.yaml",
                    "configs/distill3.yaml"},
                   {"--train.load_model", "X"}));
}

TEST(PublishedCommandLines, EveryFileNameOfTheReferenceLoads) {
  EXPECT_EQ(ReferenceFiles().size(), 47u);
  for (const ReferenceFile& file : ReferenceFiles()) {
    Config config;
    std::vector<std::string> notes;
    const absl::Status status = MergeFile("configs/" + std::string(file.name), config, &notes);
    EXPECT_TRUE(status.ok()) << status.message();
    ASSERT_EQ(notes.size(), 1u) << file.name;
    EXPECT_THAT(notes[0], HasSubstr(std::string(file.name) + " is a file of the reference; read as configs/"));
    if (!file.teacher_path.empty()) {
      EXPECT_EQ(config.train().teacher().path(), file.teacher_path);
      EXPECT_GT(config.train().teacher().model().n_layer(), 0);
      EXPECT_FALSE(config.has_model());
    }
  }
}

}  // namespace
}  // namespace radlads
