#include "model/checkpoint/hf_config.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace radlads {
namespace {

using google::protobuf::util::MessageDifferencer;
using nlohmann::json;

const char kTestdata[] = "model/testdata/";

json Golden(const std::string& name) {
  auto text = ReadFile(kTestdata + name);
  EXPECT_TRUE(text.ok()) << text.status();
  return json::parse(*text);
}

ModelConfig Parse(const json& value) {
  auto config = ModelConfigFromJson(value.dump(), "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig();
}

void ExpectSame(const ModelConfig& a, const ModelConfig& b, const std::string& what) {
  std::string differences;
  MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&differences);
  EXPECT_TRUE(differencer.Compare(a, b)) << what << ":\n" << differences;
}

void ExpectRefused(const json& value, const std::string& message) {
  const absl::Status status = ModelConfigFromJson(value.dump(), "config.json").status();
  EXPECT_FALSE(status.ok()) << "accepted " << value;
  EXPECT_NE(status.message().find(message), status.message().npos) << "expected \"" << message << "\" in: " << status;
  EXPECT_NE(status.message().find("config.json"), status.message().npos) << status;
}

// `change` of the config.json of a golden must be refused.
void ExpectRefused(const std::string& golden, const std::function<void(json&)>& change, const std::string& message) {
  json value = Golden(golden);
  change(value);
  ExpectRefused(value, message);
}

const std::vector<std::string>& Goldens() {
  static const auto* goldens = new std::vector<std::string>{
      "tiny_hf/llama/config.json", "tiny_hf/llama_rope_llama3/config.json", "tiny_hf/qwen2_rope_yarn/config.json",
      "tiny_hf/qwen2_sharded/config.json", "tiny_hf/qwen3/config.json", "tiny_hf/llama/config_legacy.json",
      "tiny_hf/llama_rope_llama3/config_legacy.json", "tiny_hf/qwen2_rope_yarn/config_legacy.json",
      "tiny_hf/qwen2_sharded/config_legacy.json", "tiny_hf/qwen3/config_legacy.json", "mixers/rwkv6_alt/config.json",
      "mixers/rwkv6_preset/config.json", "mixers/rwkv7_alt/config.json", "mixers/rwkv7_preset/config.json",
      "mixers/teacher_qwen2/config.json"};
  return *goldens;
}

TEST(HfConfig, RoundTripsEveryGolden) {
  for (const std::string& name : Goldens()) {
    const ModelConfig config = Parse(Golden(name));
    const std::string text = ModelConfigToJson(config, at::ScalarType::BFloat16);
    auto again = ModelConfigFromJson(text, "config.json");
    ASSERT_TRUE(again.ok()) << name << ": " << again.status() << "\n" << text;
    ExpectSame(config, *again, name);
    // Keys that both have must agree, so that other readers see the same model.
    const json ours = json::parse(text), theirs = Golden(name);
    for (const auto& [key, value] : theirs.items()) {
      if (!ours.contains(key) || value.is_null() || key == "initializer_range" || key == "rope_scaling") continue;
      if (key == "torch_dtype") continue;
      EXPECT_EQ(ours[key], value) << name << ": " << key;
    }
  }
}

TEST(HfConfig, BothSpellingsMeanTheSame) {
  for (const char* name : {"llama", "llama_rope_llama3", "qwen2_rope_yarn", "qwen2_sharded", "qwen3"}) {
    const std::string directory = std::string("tiny_hf/") + name;
    ExpectSame(Parse(Golden(directory + "/config.json")), Parse(Golden(directory + "/config_legacy.json")), name);
  }
}

TEST(HfConfig, ReadsTheNumbers) {
  const ModelConfig llama = Parse(Golden("tiny_hf/llama_rope_llama3/config.json"));
  EXPECT_EQ(llama.tmix(), "llama");
  EXPECT_EQ(llama.rope().type(), "llama3");
  EXPECT_EQ(llama.rope().base(), 10000);
  EXPECT_EQ(llama.rope().factor(), 8);
  EXPECT_EQ(llama.rope().original_max_position_embeddings(), 32);
  EXPECT_FALSE(llama.attention_bias());
  const ModelConfig qwen3 = Parse(Golden("tiny_hf/qwen3/config.json"));
  EXPECT_EQ(qwen3.head_size(), 32);
  EXPECT_EQ(qwen3.dim_att(), 128);
  EXPECT_EQ(qwen3.n_embd(), 64);
  EXPECT_TRUE(qwen3.qk_norm());
  EXPECT_TRUE(qwen3.tie_word_embeddings());
  const ModelConfig qwen2 = Parse(Golden("tiny_hf/qwen2_rope_yarn/config.json"));
  EXPECT_TRUE(qwen2.attention_bias());
  EXPECT_EQ(qwen2.rope().type(), "yarn");
  EXPECT_EQ(qwen2.rope().attention_factor(), 0);
  const ModelConfig student = Parse(Golden("mixers/rwkv7_preset/config.json"));
  EXPECT_EQ(student.tmix(), "rad_rwkv7");
  EXPECT_EQ(student.gate_rank_type(), 2);
  EXPECT_TRUE(student.use_pos_emb());
  EXPECT_FALSE(student.balance_state());
  EXPECT_TRUE(student.groupnorm_att());
  EXPECT_EQ(student.lora_rank_value_residual_mix(), 24);
}

TEST(HfConfig, StudentsTakeTheDefaultsOfTheModellingCode) {
  for (const char* name : {"mixers/rwkv6_preset/config.json", "mixers/rwkv7_preset/config.json"}) {
    json value = Golden(name);
    for (const char* key : {"use_rope", "balance_state", "groupnorm_att", "use_tokenshift", "attention_bias", "gate_rank_type"}) value.erase(key);
    const ModelConfig config = Parse(value);
    EXPECT_TRUE(config.balance_state());
    EXPECT_TRUE(config.has_groupnorm_att() && !config.groupnorm_att());
    EXPECT_TRUE(config.has_use_pos_emb() && !config.use_pos_emb());
    EXPECT_TRUE(config.attention_bias());
    EXPECT_EQ(config.use_tokenshift(), config.tmix() == "rad_rwkv6");
    EXPECT_EQ(config.gate_rank_type(), config.tmix() == "rad_rwkv6" ? 1 : 2);
  }
}

TEST(HfConfig, HybridsKeepTheirPlan) {
  json value = Golden("mixers/rwkv7_preset/config.json");
  value["num_attention_layers"] = 2;
  EXPECT_EQ(Parse(value).preserve_last_n_layers(), 2);
  EXPECT_EQ(Parse(value).tmix2(), "qwen2");
  value["attention_bias"] = false;
  EXPECT_EQ(Parse(value).tmix2(), "llama");
  value["qk_norm"] = true;
  EXPECT_EQ(Parse(value).tmix2(), "qwen3");

  ModelConfig hybrid = Parse(value);
  hybrid.set_tmix2("llama");
  hybrid.set_inv_other_layer_ratio(1.5);
  hybrid.set_vocab_padding_idx(7);
  ExpectSame(hybrid, Parse(json::parse(ModelConfigToJson(hybrid, at::ScalarType::Float))), "student first");
  std::swap(*hybrid.mutable_tmix(), *hybrid.mutable_tmix2());
  hybrid.set_qk_norm(false);
  const json swapped = json::parse(ModelConfigToJson(hybrid, at::ScalarType::Float));
  EXPECT_EQ(swapped["model_type"], "rwkv7qwen2") << "must not pass for a llama";
  ExpectSame(hybrid, Parse(swapped), "softmax first");
}

TEST(HfConfig, SpellingsOfRopeMustAgree) {
  const std::string qwen3 = "tiny_hf/qwen3/config.json";
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  // rope_scaling was added by hand to a file of transformers 5.
  ExpectRefused(qwen3, [&](json& c) { c["rope_scaling"] = yarn; }, "but rope_scaling is {\"factor\":4.0");
  ExpectRefused(qwen3, [&](json& c) {
    c["rope_scaling"] = yarn;
    c["rope_parameters"] = yarn;
    c["rope_parameters"]["factor"] = 2.0;
    c["rope_parameters"]["rope_theta"] = 1e6;
  }, "rope_parameters is {\"factor\":2.0");
  json same = Golden(qwen3);
  same["rope_scaling"] = yarn;
  same["rope_parameters"] = yarn;
  same["rope_parameters"]["rope_theta"] = 1e6;
  EXPECT_EQ(Parse(same).rope().type(), "yarn");
  EXPECT_EQ(Parse(same).rope().base(), 1e6);
  same["rope_scaling"] = nullptr;
  EXPECT_EQ(Parse(same).rope().factor(), 4);

  // rope_theta may stand in either; all that stand must be the same.
  json scaling = Golden("tiny_hf/qwen3/config_legacy.json");
  scaling.erase("rope_theta");
  scaling["rope_scaling"] = {{"rope_type", "default"}, {"rope_theta", 1000000}};
  EXPECT_EQ(Parse(scaling).rope().base(), 1e6);
  scaling["rope_scaling"] = yarn;
  scaling["rope_scaling"]["rope_theta"] = 1000000;
  EXPECT_EQ(Parse(scaling).rope().base(), 1e6);
  EXPECT_EQ(Parse(scaling).rope().type(), "yarn");
  scaling["rope_theta"] = 10000;
  ExpectRefused(scaling, "rope_theta is 10000, but rope_scaling says 1e+06");
  scaling["rope_theta"] = 1000000;
  scaling["rope_scaling"]["type"] = "linear";
  ExpectRefused(scaling, "rope_type is \"yarn\", but type is \"linear\"");
  scaling["rope_scaling"] = {{"full_attention", yarn}};
  ExpectRefused(scaling, "full_attention");
}

TEST(HfConfig, RopeRescaleAndRebaseSurvive) {
  ModelConfig config = Parse(Golden("tiny_hf/llama/config.json"));
  config.mutable_rope()->set_rescale(4);
  config.mutable_rope()->set_rebase(2);
  const ModelConfig linear = Parse(json::parse(ModelConfigToJson(config, at::ScalarType::Float)));
  EXPECT_EQ(linear.rope().base(), 200000);
  EXPECT_EQ(linear.rope().type(), "linear");
  EXPECT_EQ(linear.rope().factor(), 4);
  config = Parse(Golden("tiny_hf/qwen2_rope_yarn/config.json"));
  config.mutable_rope()->set_rescale(4);
  ExpectSame(config, Parse(json::parse(ModelConfigToJson(config, at::ScalarType::Float))), "yarn, rescaled");
}

TEST(HfConfig, TokenIdsMayBeLists) {
  json value = Golden("tiny_hf/llama/config.json");
  value["eos_token_id"] = {128001, 128009};
  value["bos_token_id"] = nullptr;
  EXPECT_EQ(Parse(value).eos_token_id(), 128001);
  EXPECT_FALSE(Parse(value).has_bos_token_id());
  value["eos_token_id"] = "<eos>";
  ExpectRefused(value, "eos_token_id");
}

TEST(HfConfig, RefusesWhatItDoesNotKnow) {
  const std::string llama = "tiny_hf/llama/config.json", qwen2 = "tiny_hf/qwen2_sharded/config_legacy.json";
  const std::string student = "mixers/rwkv7_preset/config.json";
  ExpectRefused(llama, [](json& c) { c["model_type"] = "mistral"; }, "\"mistral\"; known are llama, qwen2, qwen3, rwkv6qwen2, rwkv7qwen2");
  ExpectRefused(llama, [](json& c) { c["architectures"] = {"LlamaForSequenceClassification"}; }, "LlamaForSequenceClassification");
  ExpectRefused(llama, [](json& c) { c["architectures"] = {"Qwen2ForCausalLM"}; }, "but the architecture is Qwen2ForCausalLM");
  ExpectRefused(llama, [](json& c) { c.erase("model_type"), c.erase("architectures"); }, "neither model_type nor architectures");
  ExpectRefused(llama, [](json& c) { c["rope_parameters"].erase("rope_theta"); }, "rope_theta is missing");
  ExpectRefused(llama, [](json& c) { c["rope_theta"] = 1; }, "rope_parameters says");
  ExpectRefused(qwen2, [](json& c) { c.erase("rope_theta"); }, "rope_theta is missing");
  ExpectRefused(qwen2, [](json& c) { c["rope_theta"] = -1; }, "positive");
  ExpectRefused(qwen2, [](json& c) { c["rope_scaling"] = {{"type", "longrope"}}; }, "\"longrope\"; known are default, linear, llama3, yarn");
  ExpectRefused(qwen2, [](json& c) { c["rope_scaling"] = {{"type", "yarn"}}; }, "\"factor\" is missing");
  ExpectRefused(qwen2, [](json& c) { c["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8}}; }, "low_freq_factor");
  ExpectRefused(qwen2, [](json& c) { c["use_sliding_window"] = true, c["sliding_window"] = 64, c["max_window_layers"] = 1; }, "sliding windows");
  ExpectRefused(llama, [](json& c) { c["layer_types"] = {"full_attention", "sliding_attention"}; }, "sliding_attention");
  ExpectRefused(llama, [](json& c) { c["hidden_act"] = "gelu"; }, "\"gelu\"");
  ExpectRefused(llama, [](json& c) { c["attention_bias"] = true; }, "o_proj");
  ExpectRefused(llama, [](json& c) { c["mlp_bias"] = true; }, "mlp_bias");
  ExpectRefused(llama, [](json& c) { c["quantization_config"] = {{"bits", 4}}; }, "quantised");
  ExpectRefused(llama, [](json& c) { c.erase("hidden_size"); }, "\"hidden_size\" is missing");
  ExpectRefused(llama, [](json& c) { c["hidden_size"] = "64"; }, "whole number");
  ExpectRefused(llama, [](json& c) { c["num_hidden_layers"] = 0; }, "whole number");
  ExpectRefused(llama, [](json& c) { c["num_hidden_layers"] = 1e30; }, "whole number");
  ExpectRefused(llama, [](json& c) { c["num_key_value_heads"] = 3; }, "multiple");
  ExpectRefused(llama, [](json& c) { c.erase("head_dim"), c["hidden_size"] = 65; }, "head_dim");
  ExpectRefused(qwen2, [](json& c) { c.erase("num_key_value_heads"); }, "num_key_value_heads");
  ExpectRefused(student, [](json& c) { c["attention_output_bias"] = true; }, "attention_output_bias");
  ExpectRefused(student, [](json& c) { c["num_attention_layers"] = 4; }, "num_attention_layers");
  ExpectRefused(student, [](json& c) { c["tmix2"] = "mamba"; }, "\"mamba\"");
  for (const char* key : {"lora_rank_gate", "lora_rank_decay", "lora_rank_iclr", "lora_rank_value_residual_mix"}) {
    ExpectRefused(student, [&](json& c) { c.erase(key); }, key);
  }
  ExpectRefused("mixers/rwkv6_preset/config.json", [](json& c) { c["lora_rank_tokenshift"] = nullptr; }, "lora_rank_tokenshift");
  ExpectRefused(json::array(), "expected a JSON object");
}

TEST(HfConfig, WindowsThatAreOffAreFine) {
  json value = Golden("tiny_hf/qwen2_sharded/config_legacy.json");
  value["use_sliding_window"] = true;
  value["sliding_window"] = 64;
  value["max_window_layers"] = 2;
  Parse(value);
  value["max_window_layers"] = 0;
  value["sliding_window"] = nullptr;
  Parse(value);
}

TEST(HfConfig, Dtype) {
  for (const char* spelling : {"config.json", "config_legacy.json"}) {
    auto dtype = DtypeFromJson(Golden(std::string("tiny_hf/llama/") + spelling).dump(), "config.json");
    ASSERT_TRUE(dtype.ok()) << dtype.status();
    EXPECT_EQ(*dtype, at::ScalarType::Half);
  }
  EXPECT_EQ(*DtypeFromJson("{}", "config.json"), std::nullopt);
  EXPECT_FALSE(DtypeFromJson(R"({"dtype":"int3"})", "config.json").ok());
}

}  // namespace
}  // namespace radlads
