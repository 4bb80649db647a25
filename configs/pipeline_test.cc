#include "configs/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "configs/loader.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

Config Read(const std::string& yaml) {
  Config config;
  const absl::Status status = MergeYaml(yaml, "test.yaml", config);
  EXPECT_TRUE(status.ok()) << status.message();
  return config;
}

// A sound stage 1, merged with `change`.
Config Sound(const std::string& change = "") {
  Config config = Read(
      "model: {tmix: rad_rwkv7, n_layer: 2, n_embd: 128, head_size: 64, vocab_size: 100}\n"
      "train: {attention_distillation_stage: 1, load_model: teacher, data_file: data, my_exit_tokens: 1000000}\n");
  const absl::Status status = MergeYaml(change, "change.yaml", config);
  EXPECT_TRUE(status.ok()) << status.message();
  return config;
}

std::string Problems(const Config& config) { return std::string(Validate(config).message()); }

TEST(Validate, AcceptsWhatIsSound) {
  EXPECT_EQ(Problems(Sound()), "");
  EXPECT_EQ(Problems(Sound("train: {attention_distillation_stage: -1, load_model: ''}")), "") << "pretraining";
  EXPECT_EQ(Problems(Sound("train: {attention_distillation_stage: 2, teacher: {path: t, ce_weight: 0}}")), "");
  EXPECT_EQ(Problems(Sound("train: {load_model: auto, teacher: {path: t}}")), "") << "stage 1 loads the teacher";
  EXPECT_EQ(Problems(Sound("train: {data_file: '', data_mixture: [{data_file: a, weight: 3}, {data_file: b}]}")), "");
  EXPECT_EQ(Problems(Read("model: {tmix: rad_rwkv7}\ntrain: {data_file: d}")), "") << "sizes come from elsewhere";
}

struct Flaw {
  const char* change;
  const char* problem;
};

void PrintTo(const Flaw& flaw, std::ostream* out) { *out << flaw.change; }

class Flawed : public testing::TestWithParam<Flaw> {};

TEST_P(Flawed, IsNamed) { EXPECT_THAT(Problems(Sound(GetParam().change)), HasSubstr(GetParam().problem)); }

INSTANTIATE_TEST_SUITE_P(
    Validate, Flawed,
    testing::Values(
        Flaw{"model: {tmix: null}", "model.tmix: is not set"},
        Flaw{"model: {ctx_len: 0}", "model.ctx_len: found 0, expected a positive number"},
        Flaw{"model: {n_layer: -1}", "model.n_layer: found -1"},
        Flaw{"model: {vocab_size: 0}", "model.vocab_size: found 0"},
        Flaw{"model: {n_embd: 100}", "model: n_embd 100 is not a multiple of head_size 64"},
        Flaw{"model: {dim_att: 100}", "model: dim_att 100 is not a multiple of head_size 64"},
        Flaw{"model: {num_key_value_heads: 3}", "model.num_key_value_heads: found 3, expected a divisor of the 2"},
        Flaw{"model: {vocab_padding_idx: 100}", "model.vocab_padding_idx: found 100"},
        Flaw{"model: {preserve_last_n_layers: 3}", "model.preserve_last_n_layers: found 3, but there are 2 layers"},
        Flaw{"model: {inv_other_layer_ratio: 0.5}", "model.inv_other_layer_ratio: found 0.5"},
        Flaw{"model: {inv_other_layer_ratio: 2}", "model.tmix2: is not set"},
        Flaw{"model: {gate_rank_type: 3}", "model.gate_rank_type: found 3, expected 0 (none)"},
        Flaw{"model: {rms_norm_eps: 0}", "model.rms_norm_eps: found 0"},
        Flaw{"model: {lora_rank_gate: -1}", "model.lora_rank_gate: found -1, expected 0 or more"},
        Flaw{"model: {rope: {base: 0}}", "model.rope.base: found 0"},
        Flaw{"model: {rope: {type: ntk}}", "model.rope.type: found 'ntk', expected default, linear, llama3 or yarn"},
        Flaw{"model: {rope: {type: yarn}}", "model.rope.original_max_position_embeddings: yarn scaling needs"},
        Flaw{"model: {rope: {type: llama3, low_freq_factor: 5}}", "low_freq_factor 5 is not below high_freq_factor 4"},
        Flaw{"train: {teacher: {model: {head_size: 0}}}", "train.teacher.model.head_size: found 0"},
        Flaw{"train: {attention_distillation_stage: 3}", "train.attention_distillation_stage: found 3, expected 1"},
        Flaw{"train: {load_model: auto}", "train.load_model: is not set, but stage 1"},
        Flaw{"train: {attention_distillation_stage: 2}", "train.teacher.path: is not set, but stage 2"},
        Flaw{"train: {attention_distillation_stage: 2, load_model: null}", "train.load_model: is not set, but stage 2"},
        Flaw{"train: {attention_distillation_stage: 2, teacher: {path: t, kl_weight: 0, ce_weight: 0}}",
             "kl_weight and ce_weight are both 0"},
        Flaw{"train: {teacher: {kl_weight: -1}}", "train.teacher.kl_weight: found -1"},
        Flaw{"train: {lr_decay_type: cosine}", "train.lr_decay_type: found 'cosine', expected linear, exp, cos"},
        Flaw{"train: {lr_decay_type: exp, lr_final: 0}", "train.lr_decay_type: exp never arrives at 0"},
        Flaw{"train: {lr_wait: 0.5, lr_endpoint: 0.5}", "train.lr_wait: found 0.5, expected less than lr_endpoint"},
        Flaw{"train: {lr_init: -1}", "train.lr_init: found -1"},
        Flaw{"train: {beta2: 1}", "train.beta2: found 1, expected at least 0 and less than 1"},
        Flaw{"train: {adam_eps: 0}", "train.adam_eps: found 0"},
        Flaw{"train: {weight_decay_final: 0.1}", "train.weight_decay_final: is reached exponentially"},
        Flaw{"train: {optimizer: sgd}", "train.optimizer: found 'sgd', expected adamw"},
        Flaw{"train: {precision: fp8}", "train.precision: found 'fp8', expected auto, bf16 or fp32"},
        Flaw{"train: {micro_bsz: 0}", "train.micro_bsz: found 0"},
        Flaw{"train: {my_exit_tokens: -1}", "train.my_exit_tokens: found -1"},
        Flaw{"train: {data_file: ''}", "train.data_file: is not set"},
        Flaw{"train: {data_mixture: [{data_file: a}]}", "train.data_file: found 'data', but train.data_mixture"},
        Flaw{"train: {data_file: '', data_mixture: [{weight: 2}]}", "train.data_mixture.0.data_file: is not set"},
        Flaw{"train: {data_file: '', data_mixture: [{data_file: a}, {data_file: a}]}",
             "train.data_mixture.1.data_file: found 'a' a second time"},
        Flaw{"train: {data_file: '', data_mixture: [{data_file: a, weight: 0}]}", "train.data_mixture.0.weight: found 0"},
        Flaw{"train: {data_file: '', magic_prime: 5, data_mixture: [{data_file: a}]}", "train.magic_prime: found 5"},
        Flaw{"train: {resume: ''}", "train.resume: found ''"},
        Flaw{"train: {warmup_steps: 1000}", "train.warmup_steps: 1000 steps of 12288 tokens are all of the run"}));

TEST(ExpandPipeline, AStagesDataReplacesWhatIsShared) {
  const auto runs = ExpandPipeline(
      Sound("train: {data_file: '', data_mixture: [{data_file: a}, {data_file: b}]}\n"
            "pipeline: [{name: x}, {name: y, train: {data_mixture: [{data_file: c}]}}, {name: z, train: {data_file: d}}]"));
  ASSERT_TRUE(runs.ok()) << runs.status();
  EXPECT_EQ((*runs)[0].train().data_mixture_size(), 2);
  ASSERT_EQ((*runs)[1].train().data_mixture_size(), 1);
  EXPECT_EQ((*runs)[1].train().data_mixture(0).data_file(), "c");
  EXPECT_EQ((*runs)[2].train().data_mixture_size(), 0);
  EXPECT_EQ((*runs)[2].train().data_file(), "d");
}

TEST(Validate, ListsAllProblemsWithTheirStage) {
  Config config = Sound("pipeline: [{name: a, train: {micro_bsz: 0, beta1: 2}}, {name: b, train: {threads: -1}}]");
  const std::string problems = Problems(config);
  EXPECT_THAT(problems, HasSubstr("pipeline.a: train.micro_bsz: found 0"));
  EXPECT_THAT(problems, HasSubstr("pipeline.a: train.beta1: found 2"));
  EXPECT_THAT(problems, HasSubstr("\npipeline.b: train.threads: found -1"));
}

TEST(RunDirectory, IsNamedAsTheReferenceDoes) {
  EXPECT_EQ(RunDirectory(Read("train: {proj_suffix: 1}").train(),
                         Read("model: {n_layer: 28, n_embd: 3584, tmix: rad_rwkv7, tmix2: qwen2}").model()),
            "out/L28-D3584-rad_rwkv7_qwen2-1");
  EXPECT_EQ(RunDirectory(TrainConfig(), Read("model: {tmix: rad_rwkv6}").model()), "out/rad_rwkv6-0");
  EXPECT_EQ(RunDirectory(Read("train: {proj_dir: /x, proj_name: n, proj_suffix0: no_gate, proj_suffix: 4-4k}").train(),
                         ModelConfig()),
            "/x/n-no_gate-4-4k");
  EXPECT_EQ(RunDirectory(Read("train: {proj_name: n, proj_suffix: ''}").train(), ModelConfig()), "out/n");
}

TEST(ExpandPipeline, GivesTheConfigurationItselfWithoutOne) {
  const Config config = Sound("train: {load_model: null, teacher: {path: t}}");
  const auto runs = ExpandPipeline(config);
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 1u);
  EXPECT_EQ((*runs)[0].train().load_model(), "t");
  EXPECT_EQ(RunDirectory((*runs)[0].train(), (*runs)[0].model()), RunDirectory(config.train(), config.model()));
}

TEST(ExpandPipeline, ChainsTheStages) {
  const Config config = Sound(
      "train: {proj_name: run, load_model: null, lr_init: 1, teacher: {path: t, kl_weight: 1}}\n"
      "pipeline:\n"
      "- {name: first, train: {lr_init: 2}, model: {ctx_len: 64}}\n"
      "- {name: second, train: {attention_distillation_stage: 2, teacher: {ce_weight: 0}}}\n"
      "- {name: third, train: {attention_distillation_stage: -1, load_model: elsewhere}}\n");
  EXPECT_EQ(Problems(config), "");
  const auto runs = ExpandPipeline(config);
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 3u);
  const Config &first = (*runs)[0], &second = (*runs)[1], &third = (*runs)[2];
  EXPECT_EQ(first.pipeline_size(), 0);
  EXPECT_EQ(RunDirectory(first.train(), first.model()), "out/run-0/first");
  EXPECT_EQ(first.train().load_model(), "t");
  EXPECT_EQ(first.train().lr_init(), 2);
  EXPECT_EQ(first.model().ctx_len(), 64);
  EXPECT_EQ(RunDirectory(second.train(), second.model()), "out/run-0/second");
  EXPECT_EQ(second.train().load_model(), "out/run-0/first");
  EXPECT_EQ(second.train().lr_init(), 1);
  EXPECT_EQ(second.model().ctx_len(), 1024);
  EXPECT_EQ(second.train().teacher().kl_weight(), 1);
  EXPECT_EQ(second.train().teacher().ce_weight(), 0);
  EXPECT_EQ(third.train().load_model(), "elsewhere");
}

TEST(ExpandPipeline, RefusesNamesThatAreNoFolders) {
  const auto problem = [](const char* pipeline) {
    return std::string(ExpandPipeline(Sound(pipeline)).status().message());
  };
  EXPECT_THAT(problem("pipeline: [{}]"), HasSubstr("pipeline.0.name: found ''"));
  EXPECT_THAT(problem("pipeline: [{name: a/b}]"), HasSubstr("pipeline.a/b.name: found 'a/b', expected a name"));
  EXPECT_THAT(problem("pipeline: [{name: ..}]"), HasSubstr("found '..'"));
  EXPECT_THAT(problem("pipeline: [{name: a}, {name: a}]"), HasSubstr("pipeline.a.name: two stages have this name"));
  EXPECT_THAT(problem("pipeline: [{name: a, train: {proj_suffix: 3}}]"),
              HasSubstr("pipeline.a.train: sets proj_*, but its directory is out/"));
}

}  // namespace
}  // namespace radlads
