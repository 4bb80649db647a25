#include "configs/loader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "configs/comments.h"
#include "configs/config.pb.h"
#include "configs/loader_test.pb.h"

namespace radlads {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::util::MessageDifferencer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

absl::Status Parse(std::initializer_list<const char*> arguments, google::protobuf::Message& config,
                   CommandLine* out = nullptr) {
  std::vector<const char*> argv = {"program"};
  argv.insert(argv.end(), arguments);
  CommandLine ignored;
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data(), config, out == nullptr ? ignored : *out);
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

Config Read(const std::string& yaml) {
  Config config;
  const absl::Status status = MergeYaml(yaml, "test.yaml", config);
  EXPECT_TRUE(status.ok()) << status.message();
  return config;
}

std::string ErrorOf(const std::string& yaml) {
  Config config;
  const absl::Status status = MergeYaml(yaml, "test.yaml", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << yaml;
  EXPECT_TRUE(MessageDifferencer::Equals(config, Config())) << "changed although it failed: " << yaml;
  return Message(status);
}

std::string TemporaryFile(const std::string& name, const std::string& contents) {
  const std::string path = JoinPath(testing::TempDir(), name);
  EXPECT_TRUE(WriteFileAtomically(path, contents).ok());
  return path;
}

TEST(MergeYaml, LaterFilesWinKeyByKey) {
  Config config = Read("model: {n_layer: 2, n_embd: 64}\ntrain: {lr_init: 1e-3}\n");
  ASSERT_TRUE(MergeYaml("model:\n  n_layer: 4\n  rope: {base: 5}\n", "b.yaml", config).ok());
  ASSERT_TRUE(MergeYaml(R"({"model": {"rope": {"factor": 8.5}}, "train": {"grad_cp": true}})", "c.json", config).ok());
  EXPECT_EQ(config.model().n_layer(), 4);
  EXPECT_EQ(config.model().n_embd(), 64);
  EXPECT_EQ(config.model().rope().base(), 5);
  EXPECT_EQ(config.model().rope().factor(), 8.5);
  EXPECT_EQ(config.train().lr_init(), 1e-3);
  EXPECT_TRUE(config.train().grad_cp());
}

TEST(MergeYaml, ReadsScalarsAsTheReferenceDoes) {
  const Config config = Read(R"(
__type__: configs.Anything
model:
  __type__: configs.Transformer_Config
  use_pos_emb: 0
  balance_state: 1
  groupnorm_att: yes
  inv_other_layer_ratio: 3
  n_layer: 1_000
train:
  lr_init: 1e-3
  lr_final: 6.25E-5
  adam_eps: .5
  proj_suffix: 1
  proj_suffix0: 4-4k
  proj_name: 1e3
  my_exit_tokens: 1e8
  seed_everything: -7
)");
  EXPECT_FALSE(config.model().use_pos_emb());
  EXPECT_TRUE(config.model().balance_state());
  EXPECT_TRUE(config.model().groupnorm_att());
  EXPECT_EQ(config.model().inv_other_layer_ratio(), 3);
  EXPECT_EQ(config.model().n_layer(), 1000);
  EXPECT_EQ(config.train().lr_init(), 1e-3);
  EXPECT_EQ(config.train().lr_final(), 6.25e-5);
  EXPECT_EQ(config.train().adam_eps(), 0.5);
  EXPECT_EQ(config.train().proj_suffix(), "1");
  EXPECT_EQ(config.train().proj_suffix0(), "4-4k");
  EXPECT_EQ(config.train().proj_name(), "1e3");
  EXPECT_EQ(config.train().my_exit_tokens(), 100000000);
  EXPECT_EQ(config.train().seed_everything(), -7);
}

TEST(MergeYaml, NothingPutsBackToTheDefault) {
  Config config = Read("model: {vocab_padding_idx: 5, rope: {base: 7}, n_layer: 3}\ntrain: {lr_init: 1, proj_suffix: x}");
  ASSERT_TRUE(MergeYaml("model: {vocab_padding_idx: None, rope: None, n_layer: ~}\n"
                        "train:\n  lr_init: null\n  proj_suffix: ''\n  teacher:\n",
                        "b.yaml", config)
                  .ok());
  EXPECT_FALSE(config.model().has_vocab_padding_idx());
  EXPECT_FALSE(config.model().has_rope());
  EXPECT_FALSE(config.model().has_n_layer());
  EXPECT_EQ(config.train().lr_init(), 6e-4);
  EXPECT_TRUE(config.train().has_proj_suffix());
  EXPECT_EQ(config.train().proj_suffix(), "");
  ASSERT_TRUE(MergeYaml("train:  # all of it is a comment\n", "c.yaml", config).ok());
  EXPECT_TRUE(config.has_train()) << "a key with nothing under it must not drop what was there";
}

struct BadInput {
  const char* yaml;
  const char* message;
};

void PrintTo(const BadInput& input, std::ostream* out) { *out << input.yaml; }

class Refused : public testing::TestWithParam<BadInput> {};

TEST_P(Refused, WithAMessageThatHelps) { EXPECT_THAT(ErrorOf(GetParam().yaml), HasSubstr(GetParam().message)); }

INSTANTIATE_TEST_SUITE_P(
    MergeYaml, Refused,
    testing::Values(
        BadInput{"train:\n  lr_inti: 1", "test.yaml:2: train.lr_inti: unknown key; did you mean train.lr_init?"},
        BadInput{"model:\n\n  lr_init: 1", "test.yaml:3: model.lr_init: unknown key; did you mean train.lr_init?"},
        BadInput{"n_layers: 1", "test.yaml:1: n_layers: unknown key; did you mean model.n_layer?"},
        BadInput{"zebra: 1", "test.yaml:1: zebra: unknown key; --help lists all knobs"},
        BadInput{"train: {micro_bsz: abc}", "train.micro_bsz: found 'abc', expected a whole number"},
        BadInput{"train: {micro_bsz: 2.5}", "found '2.5', expected a whole number"},
        BadInput{"train: {micro_bsz: 012}", "found '012', expected a whole number"},
        BadInput{"train: {micro_bsz: 0x10}", "found '0x10', expected a whole number"},
        BadInput{"train: {micro_bsz: true}", "found 'true', expected a whole number"},
        BadInput{"train: {micro_bsz: '4'}", "found the string '4', expected a whole number (without quotes)"},
        BadInput{"train: {micro_bsz: 9223372036854775808}", "expected a number that fits 64 bits"},
        BadInput{"train: {micro_bsz: 1e300}", "expected a number that fits 64 bits"},
        BadInput{"train: {lr_init: 1e-3x}", "train.lr_init: found '1e-3x', expected a number"},
        BadInput{"train: {lr_init: 1e999}", "found '1e999', expected a number between"},
        BadInput{"train: {lr_init: .nan}", "found '.nan', expected a number"},
        BadInput{"train: {lr_init: inf}", "found 'inf', expected a number"},
        BadInput{"train: {lr_init: 1__0}", "found '1__0', expected a number"},
        BadInput{"train: {lr_init: {a: 1}}", "train.lr_init: found a map, expected a number"},
        BadInput{"train: {lr_init: [1]}", "train.lr_init: found a list, expected a number"},
        BadInput{"train: {proj_name: [1]}", "train.proj_name: found a list, expected text"},
        BadInput{"train: {grad_cp: 2}", "train.grad_cp: found '2', expected true or false (or 1 or 0)"},
        BadInput{"train: 3", "train: found '3', expected a map with keys such as attention_distillation_stage"},
        BadInput{"train: [3]", "train: found a list, expected a map"},
        BadInput{"- 3", "test.yaml:1: found a list, expected a map with keys such as model, train, pipeline"},
        BadInput{"hello", "test.yaml:1: found 'hello', expected a map"},
        BadInput{"pipeline: 3", "pipeline: found '3', expected a list of maps"},
        BadInput{"pipeline: [3]", "pipeline.0: found '3', expected a map with keys such as name, model, train"},
        BadInput{"pipeline:\n  - name: a\n    train: {lr_inti: 1}", "test.yaml:3: pipeline.a.train.lr_inti: unknown key"},
        BadInput{"pipeline: {b: {}}", "pipeline.b: no such entry; pipeline is empty"},
        BadInput{"train: {lr_init: 1}\nmodel: {}\ntrain: {}",
                 "test.yaml:3: train: given twice in one map, first on line 1"},
        BadInput{"model:\n  tmix: a\n  tmix: a", "test.yaml:3: tmix: given twice in one map, first on line 2"},
        BadInput{"? [a]\n: 1", "test.yaml:1: found a list as a key"},
        BadInput{"model: {tmix: a\ntrain: {}", "test.yaml:2: not YAML"},
        BadInput{"model:\n\ttmix: a", "test.yaml:2: not YAML"},
        BadInput{"model: *nowhere", "test.yaml:1: not YAML"},
        BadInput{"model: {}\n---\ntrain: {}", "found a second document"},
        BadInput{"train: {optimizer: lion8bit}", "train.optimizer: 'lion8bit' is not here: use adamw"},
        BadInput{"train: {precision: 16-mixed}", "train.precision: '16-mixed' is not here"},
        BadInput{"train: {data_type: numpy}", "train.data_type: found 'numpy': make a .bin/.idx pair"},
        BadInput{"train: {layerwise_lr: 0}", "train.layerwise_lr: found '0'"},
        BadInput{"model: {hf_path: Qwen/Qwen2.5-7B}", "model.hf_path: is not a knob here: download the model"},
        BadInput{"model: {dropout: 0.1}", "model.dropout: found '0.1': there is no dropout"},
        BadInput{"runtime: {run_name: x}", "runtime: is not a knob here"},
        BadInput{"model: {tmix: qwerky7, attention_type: gla}",
                 "model.attention_type: 'gla' is a kernel of rad_rwkv6, but model.tmix is rad_rwkv7"},
        BadInput{"model: {tmix: qwerky7, attention_type: mamba}", "found 'mamba', expected the name of an rwkv6"}));

TEST(MergeYaml, ListsAllErrorsOfAFile) {
  const std::string errors = ErrorOf("model:\n  tmx: a\n  n_layer: x\ntrain:\n  lr_init: [1]\n  wings: 2\n");
  EXPECT_THAT(errors, HasSubstr("test.yaml:2: model.tmx: unknown key; did you mean model.tmix?\n"));
  EXPECT_THAT(errors, HasSubstr("test.yaml:3: model.n_layer: found 'x', expected a whole number\n"));
  EXPECT_THAT(errors, HasSubstr("test.yaml:5: train.lr_init: found a list, expected a number\n"));
  EXPECT_THAT(errors, HasSubstr("test.yaml:6: train.wings: unknown key"));
}

TEST(MergeYaml, SurvivesGarbage) {
  Config config;
  EXPECT_FALSE(MergeYaml(std::string(100000, '['), "deep.yaml", config).ok());
  EXPECT_FALSE(MergeYaml(std::string("\x00\x01\xff\xfe{", 5), "binary.yaml", config).ok());
  std::string nested;
  for (int i = 0; i < 300; ++i) nested += "{model: ";
  EXPECT_FALSE(MergeYaml(nested, "nested.yaml", config).ok());
  EXPECT_TRUE(MergeYaml("", "empty.yaml", config).ok());
  EXPECT_TRUE(MergeYaml("# only a comment\n", "comment.yaml", config).ok());
}

TEST(MergeYaml, TranslatesTheNamesOfTheReference) {
  const Config config = Read(
      "model: {tmix: qwerky7, tmix2: qwerky6, cmix: qwen2}\n"
      "train: {optimizer: dsfusedadamw, precision: bf16-true}\n");
  EXPECT_EQ(config.model().tmix(), "rad_rwkv7");
  EXPECT_EQ(config.model().tmix2(), "rad_rwkv6");
  EXPECT_EQ(config.model().cmix(), "swiglu");
  EXPECT_EQ(config.train().optimizer(), "adamw");
  EXPECT_EQ(config.train().precision(), "bf16");
  EXPECT_EQ(Read("train: {precision: 32}").train().precision(), "fp32");
}

TEST(MergeYaml, SaysWhichKnobsOfTheReferenceHaveNoEffect) {
  Config config;
  std::vector<std::string> notes;
  ASSERT_TRUE(MergeYaml("model: {classname: qwen2, tmix: qwerky6, attention_type: rwkv6_wind_backstepping_longhead}\n"
                        "train: {ds_bucket_mb: 200, wandb: x, data_type: binidx, hf_cfg: 1}\n",
                        "a.yaml", config, &notes)
                  .code() == absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(MergeYaml("model: {classname: qwen2, tmix: qwerky6, hf_cfg: {hidden_size: 1, deep: [1, {}]},\n"
                        "  attention_type: rwkv6_wind_backstepping_longhead}\n"
                        "train: {ds_bucket_mb: 200, strategy: fsdp, wandb: x, data_type: binidx}\n",
                        "a.yaml", config, &notes)
                  .ok());
  EXPECT_THAT(notes, Contains(HasSubstr("train.ds_bucket_mb has no effect here: one process has no gradients to exchange")));
  EXPECT_THAT(notes, Contains(HasSubstr("model.hf_cfg has no effect here")));
  EXPECT_THAT(notes, Contains(HasSubstr("model.attention_type has no effect here")));
  EXPECT_THAT(notes, Not(Contains(HasSubstr("data_type"))));
  EXPECT_EQ(notes.size(), 6u);
}

TEST(MergeYaml, ChangesEntriesOfAListByNameOrIndex) {
  Config config = Read("pipeline:\n - {name: a, train: {lr_init: 1, micro_bsz: 3}}\n - {name: b}\n");
  ASSERT_TRUE(MergeYaml("pipeline: {a: {train: {lr_init: 2}}, 1: {model: {n_layer: 9}}}", "b.yaml", config).ok());
  ASSERT_EQ(config.pipeline_size(), 2);
  EXPECT_EQ(config.pipeline(0).train().lr_init(), 2);
  EXPECT_EQ(config.pipeline(0).train().micro_bsz(), 3);
  EXPECT_EQ(config.pipeline(1).model().n_layer(), 9);
  EXPECT_THAT(Message(MergeYaml("pipeline:\n  c: {}", "b.yaml", config)),
              HasSubstr("b.yaml:2: pipeline.c: no such entry; there are a, b"));
  ASSERT_TRUE(MergeYaml("pipeline: [{name: c}]", "c.yaml", config).ok());
  ASSERT_EQ(config.pipeline_size(), 1) << "a list replaces a list";
  ASSERT_TRUE(MergeYaml("pipeline: null", "d.yaml", config).ok());
  EXPECT_EQ(config.pipeline_size(), 0);
}

TEST(MergeYaml, WorksOnAnyMessage) {
  test::Everything all;
  ASSERT_TRUE(MergeYaml("{small: -5, natural: 4000000000, large: 5, single: 0.25, colour: RED, words: [a, '1', 2],\n"
                        " counts: 7, items: [{weight: 1}, {}], inner: {inner: {small: 1}}}",
                        "all.yaml", all)
                  .ok());
  EXPECT_EQ(all.small(), -5);
  EXPECT_EQ(all.natural(), 4000000000u);
  EXPECT_EQ(all.single(), 0.25f);
  EXPECT_EQ(all.colour(), test::Everything::RED);
  EXPECT_THAT(all.words(), ElementsAre("a", "1", "2"));
  EXPECT_THAT(all.counts(), ElementsAre(7));
  EXPECT_EQ(all.items_size(), 2);
  EXPECT_EQ(all.inner().inner().small(), 1);
  test::Everything again;
  ASSERT_TRUE(MergeYaml(ToYaml(all), "again.yaml", again).ok()) << ToYaml(all);
  EXPECT_TRUE(MessageDifferencer::Equals(all, again)) << ToYaml(all);
  EXPECT_THAT(Message(MergeYaml("small: 3000000000", "x", all)), HasSubstr("expected a number that fits 32 bits"));
  EXPECT_THAT(Message(MergeYaml("natural: -1", "x", all)), HasSubstr("expected a whole number that is not negative"));
  EXPECT_THAT(Message(MergeYaml("single: 1e200", "x", all)), HasSubstr("expected a number between -3.4e38"));
  EXPECT_THAT(Message(MergeYaml("colour: BLUE", "x", all)), HasSubstr("found 'BLUE', expected one of RED, GREEN"));
  EXPECT_THAT(Message(MergeYaml("counts: [1, x]", "x", all)), HasSubstr("counts.1: found 'x', expected a whole number"));
  EXPECT_TRUE(MessageDifferencer::Equals(all, again)) << "a refused file must change nothing";
  EXPECT_THAT(HelpText(*test::Everything::descriptor()), HasSubstr("the same knobs as"));
}

TEST(ToYaml, RoundTripsAwkwardValues) {
  Config config;
  TrainConfig& train = *config.mutable_train();
  for (const double value : {0.0, -0.0, 1e-5, 0.1, 1.0 / 3, 6.25e-5, 1e300, 5e-324, 1e15, 123456789.125, -1.0}) {
    train.set_lr_init(value);
    for (const char* text : {"", "null", "None", "~", "yes", "1", "1e-3", "- a", "a: b", "#x", "a #b", "\"q\"", "back\\",
                             "tab\tnew\nline\x01", "\xc3\xa9t\xc3\xa9", "@x", "/a/b-c_d.e", " lead", "'", "{", "0x1"}) {
      train.set_proj_name(text);
      config.mutable_model()->mutable_rope();
      Config again;
      const absl::Status status = MergeYaml(ToYaml(config), "again.yaml", again);
      ASSERT_TRUE(status.ok()) << status.message() << "\n" << ToYaml(config);
      // Serialised bytes, because -0.0 equals 0.0.
      ASSERT_EQ(config.SerializeAsString(), again.SerializeAsString()) << ToYaml(config);
      Config with_comments;
      ASSERT_TRUE(MergeYaml(ToYaml(config, /*show_defaults=*/true), "again.yaml", with_comments).ok());
      ASSERT_EQ(config.SerializeAsString(), with_comments.SerializeAsString()) << ToYaml(config, true);
    }
  }
}

TEST(ToYaml, ShowsDefaultsAsComments) {
  const std::string yaml = ToYaml(Read("train: {lr_init: 1e-3}"), /*show_defaults=*/true);
  EXPECT_THAT(yaml, HasSubstr("\n  lr_init: 0.001\n  # lr_final: 1.0e-05\n"));
  EXPECT_THAT(yaml, HasSubstr("# model: null\n"));
}

TEST(CommandLine, FilesThenKnobsInAnyPlace) {
  const std::string a = TemporaryFile("a.yaml", "train: {lr_init: 1, lr_final: 2, micro_bsz: 3}");
  const std::string b = TemporaryFile("b.json", R"({"train": {"lr_final": 20}})");
  Config config;
  CommandLine command;
  const std::string config_b = "--config=" + b;
  ASSERT_TRUE(Parse({"verb", "--train.micro_bsz", "30", "-c", a.c_str(), config_b.c_str(), "--train.lr2_init", "-1",
                     "--train.proj_name=x=y", "--model.rope.base", "1e6", "--model.vocab_padding_idx", "None",
                     "--train.proj_suffix", "", "--model.use_pos_emb=0", "--", "--rest"},
                    config, &command)
                  .ok());
  EXPECT_EQ(config.train().lr_init(), 1);
  EXPECT_EQ(config.train().lr_final(), 20);
  EXPECT_EQ(config.train().micro_bsz(), 30) << "the command line comes after all files";
  EXPECT_EQ(config.train().lr2_init(), -1);
  EXPECT_EQ(config.train().proj_name(), "x=y");
  EXPECT_TRUE(config.train().has_proj_suffix());
  EXPECT_EQ(config.train().proj_suffix(), "");
  EXPECT_EQ(config.model().rope().base(), 1e6);
  EXPECT_FALSE(config.model().use_pos_emb());
  EXPECT_FALSE(config.model().has_vocab_padding_idx());
  EXPECT_THAT(command.positional, ElementsAre("verb", "--rest"));
  EXPECT_THAT(command.config_files, ElementsAre(a, b));
  EXPECT_FALSE(command.help || command.print_config);
}

TEST(CommandLine, NamesWhatIsWrong) {
  Config config;
  EXPECT_THAT(Message(Parse({"--train.lr_inti", "1"}, config)),
              HasSubstr("command line: train.lr_inti: unknown key; did you mean train.lr_init?"));
  EXPECT_THAT(Message(Parse({"--train.micro_bsz", "two"}, config)),
              HasSubstr("command line: train.micro_bsz: found 'two', expected a whole number"));
  EXPECT_THAT(Message(Parse({"--train.lr_init.x=1"}, config)),
              HasSubstr("train.lr_init: found a map, expected a number"));
  EXPECT_THAT(Message(Parse({"--train.lr_init"}, config)), HasSubstr("--train.lr_init: has no value"));
  EXPECT_THAT(Message(Parse({"--train.lr_init", "--train.lr_final=1"}, config)), HasSubstr("has no value"));
  EXPECT_THAT(Message(Parse({"-c"}, config)), HasSubstr("-c: has no value; expected a file"));
  EXPECT_THAT(Message(Parse({"-x", "1"}, config)), HasSubstr("-x: unknown option"));
  EXPECT_THAT(Message(Parse({"--=5"}, config)), HasSubstr("a value without a knob"));
  EXPECT_THAT(Message(Parse({"--train", "5"}, config)), HasSubstr("train: found '5', expected a map"));
  EXPECT_THAT(Message(Parse({"--pipeline.a.name=b"}, config)), HasSubstr("pipeline.a: no such entry"));
}

TEST(CommandLine, NamesMissingFiles) {
  TemporaryFile("recipe.yaml", "");
  Config config;
  const std::string wrong = JoinPath(testing::TempDir(), "recipes.yaml");
  const absl::Status status = Parse({"-c", wrong.c_str()}, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), HasSubstr("recipes.yaml: no such file; did you mean "));
  EXPECT_THAT(Message(status), HasSubstr("recipe.yaml?"));
  EXPECT_THAT(Message(Parse({"-c", "no/where/x.yaml"}, config)), HasSubstr("there is no folder no/where either"));
  EXPECT_THAT(Message(Parse({"-c", testing::TempDir().c_str()}, config)), HasSubstr("is a directory"));
  EXPECT_THAT(Message(Parse({"-c", "no/where/qwen7b.yaml"}, config)),
              HasSubstr("as a file of the reference it stands for no/where/teachers/qwen2.5-7b.yaml"));
}

TEST(CommandLine, ReachesIntoThePipeline) {
  const std::string file = TemporaryFile("p.yaml", "pipeline: [{name: one}, {name: two}]");
  Config config;
  ASSERT_TRUE(Parse({"-c", file.c_str(), "--pipeline.two.train.lr_init", "5", "--pipeline.0.model.n_layer=2"}, config)
                  .ok());
  EXPECT_EQ(config.pipeline(1).train().lr_init(), 5);
  EXPECT_EQ(config.pipeline(0).model().n_layer(), 2);
  ASSERT_TRUE(Parse({"--pipeline", "None"}, config).ok());
  EXPECT_EQ(config.pipeline_size(), 0);
}

TEST(CommandLine, ChecksTheMixerAfterAllFiles) {
  const std::string file = TemporaryFile("m.yaml", "model: {attention_type: rwkv7_fla_chunk}");
  Config config;
  EXPECT_TRUE(Parse({"-c", file.c_str(), "--model.tmix=qwerky7"}, config).ok());
  EXPECT_THAT(Message(Parse({"-c", file.c_str(), "--model.tmix=rad_rwkv6"}, config)),
              HasSubstr("is a kernel of rad_rwkv7, but model.tmix is rad_rwkv6"));
}

TEST(CommandLine, HelpWinsOverErrors) {
  Config config;
  CommandLine command;
  ASSERT_TRUE(Parse({"--nonsense", "1", "--version"}, config, &command).ok());
  EXPECT_TRUE(command.version);
  ASSERT_TRUE(Parse({"--nonsense", "1", "--help", "train.teacher"}, config, &command).ok());
  EXPECT_TRUE(command.help);
  EXPECT_EQ(command.help_filter, "train.teacher");
}

TEST(HelpText, HasEveryKnobOnceWithTypeDefaultAndComment) {
  const std::string help = HelpText(*Config::descriptor());
  EXPECT_THAT(help, HasSubstr("  --train.lr_init  (number, default 0.0006)\n      Learning rate after the warm-up.\n"));
  EXPECT_THAT(help, HasSubstr("  --model.tie_word_embeddings  (true or false, default false)\n"));
  EXPECT_THAT(help, HasSubstr("  train.teacher.model.*  (the same knobs as model.*)\n"));
  EXPECT_THAT(help, HasSubstr("  --pipeline.NAME.*  (list of {name, model, train})\n"));
  const std::string part = HelpText(*Config::descriptor(), "train.teacher.model.rope");
  EXPECT_THAT(part, HasSubstr("train.teacher.model.rope.*"));
  EXPECT_THAT(part, Not(HasSubstr("train.lr_init")));
  EXPECT_THAT(HelpText(*Config::descriptor(), "zebra"), HasSubstr("No knob's name contains 'zebra'"));
}

TEST(Schema, EveryKnobHasAComment) {
  std::set<const Descriptor*> seen;
  const std::function<void(const Descriptor&)> check = [&](const Descriptor& message) {
    if (!seen.insert(&message).second) return;
    for (int i = 0; i < message.field_count(); ++i) {
      EXPECT_FALSE(CommentOf(*message.field(i)).empty()) << message.field(i)->full_name() << " has no comment";
      if (message.field(i)->message_type() != nullptr) check(*message.field(i)->message_type());
    }
  };
  check(*Config::descriptor());
  EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace radlads
