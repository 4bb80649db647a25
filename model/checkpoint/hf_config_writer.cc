#include <nlohmann/json.hpp>

#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/hf_config_keys.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

const hf::Architecture& ArchitectureOf(const std::string& tmix) {
  const std::string name = tmix == "qwerky6" ? "rad_rwkv6" : tmix == "qwerky7" ? "rad_rwkv7" : tmix;
  for (const hf::Architecture& known : hf::kArchitectures) {
    if (known.tmix == name) return known;
  }
  RADLADS_CHECK(false) << "no Hugging Face architecture for the time mixer " << tmix;
  return hf::kArchitectures[0];
}

const char* DtypeName(at::ScalarType dtype) {
  switch (dtype) {
    case at::ScalarType::Float: return "float32";
    case at::ScalarType::BFloat16: return "bfloat16";
    case at::ScalarType::Half: return "float16";
    case at::ScalarType::Double: return "float64";
    default: RADLADS_CHECK(false) << "weights of type " << static_cast<int>(dtype); return "";
  }
}

ordered_json Scaling(const RopeConfig& rope) {
  const double rescale = rope.rescale();
  if (rope.type() == "default") {
    if (rescale == 1) return nullptr;
    return {{"rope_type", "linear"}, {"factor", rescale}};
  }
  ordered_json scaling = {{"rope_type", rope.type()}, {"factor", rope.factor()}};
  if (rope.type() == "linear") {
    scaling["factor"] = rope.factor() * rescale;
    return scaling;
  }
  if (rope.type() == "llama3") {
    scaling["low_freq_factor"] = rope.low_freq_factor();
    scaling["high_freq_factor"] = rope.high_freq_factor();
  }
  if (rope.original_max_position_embeddings() > 0) {
    scaling["original_max_position_embeddings"] = rope.original_max_position_embeddings();
  }
  if (rope.type() == "yarn") {
    scaling["beta_fast"] = rope.beta_fast();
    scaling["beta_slow"] = rope.beta_slow();
    if (rope.attention_factor() > 0) scaling["attention_factor"] = rope.attention_factor();
  }
  if (rescale != 1) scaling[hf::kRopeRescale] = rescale;
  return scaling;
}

}  // namespace

std::string ModelConfigToJson(const ModelConfig& config, at::ScalarType dtype, bool quantized) {
  const hf::Architecture& first = ArchitectureOf(config.tmix());
  const hf::Architecture* second = config.tmix2().empty() ? nullptr : &ArchitectureOf(config.tmix2());
  const bool is_student = hf::IsStudent(first.tmix) || (second != nullptr && hf::IsStudent(second->tmix));
  // A hybrid that begins with softmax layers must not pass for a plain softmax model.
  const hf::Architecture& named = is_student && !hf::IsStudent(first.tmix) ? *second : first;
  const int64_t width = config.n_embd(), attention = config.dim_att() > 0 ? config.dim_att() : width;
  const int64_t heads = attention / config.head_size();
  const bool bias = config.has_attention_bias() ? config.attention_bias() : first.attention_bias;
  const bool qk_norm = config.has_qk_norm() ? config.qk_norm() : first.qk_norm;

  ordered_json json = {
      {"architectures", ordered_json::array({named.class_name})},
      {"model_type", named.model_type},
      {"vocab_size", config.vocab_size()},
      {"hidden_size", width},
      {"intermediate_size", config.dim_ffn() > 0 ? config.dim_ffn() : width * 7 / 2 / 32 * 32},
      {"num_hidden_layers", config.n_layer()},
      {"num_attention_heads", heads},
      {"num_key_value_heads", config.num_key_value_heads() > 0 ? config.num_key_value_heads() : heads},
      {"head_dim", config.head_size()},
      {"hidden_act", "silu"},
      {"rms_norm_eps", config.rms_norm_eps()},
      {"rope_theta", config.rope().base() * config.rope().rebase()},
      {"rope_scaling", Scaling(config.rope())},
      {"tie_word_embeddings", config.tie_word_embeddings()},
      {"attention_bias", bias},
      {"attention_dropout", 0.0},
      {"initializer_range", 0.02},
      {"use_cache", true},
      {"torch_dtype", DtypeName(dtype)},
  };
  if (config.has_max_position_embeddings()) json["max_position_embeddings"] = config.max_position_embeddings();
  if (config.has_bos_token_id()) json["bos_token_id"] = config.bos_token_id();
  if (config.has_eos_token_id()) json["eos_token_id"] = config.eos_token_id();
  if (config.has_vocab_padding_idx()) json[hf::kVocabPaddingIdx] = config.vocab_padding_idx();
  if (named.tmix == "llama") json["mlp_bias"] = false;
  if (named.tmix == "qwen2" || named.tmix == "qwen3") json["use_sliding_window"] = false;
  if (is_student || (bias && named.tmix != "qwen2")) json["attention_output_bias"] = false;
  if (qk_norm != named.qk_norm) json[hf::kQkNorm] = qk_norm;

  if (is_student) {
    json["gate_rank_type"] = config.gate_rank_type();
    const std::pair<const char*, int64_t> ranks[] = {
        {"lora_rank_gate", config.lora_rank_gate()},
        {"lora_rank_tokenshift", config.lora_rank_tokenshift()},
        {"lora_rank_decay", config.lora_rank_decay()},
        {"lora_rank_iclr", config.lora_rank_iclr()},
        {"lora_rank_value_residual_mix", config.lora_rank_value_residual_mix()},
    };
    for (const auto& [key, rank] : ranks) {
      if (rank > 0) json[key] = rank;
    }
    json["use_rope"] = config.use_pos_emb();
    json["balance_state"] = config.balance_state();
    json["groupnorm_att"] = config.groupnorm_att();
    json["use_tokenshift"] = config.use_tokenshift();
  }
  if (is_student || config.preserve_last_n_layers() > 0) json["num_attention_layers"] = config.preserve_last_n_layers();
  if (&named != &first) json[hf::kTmix] = first.tmix;
  if (second != nullptr) json[hf::kTmix2] = second->tmix;
  if (config.inv_other_layer_ratio() != 1) json[hf::kInvOtherLayerRatio] = config.inv_other_layer_ratio();
  if (quantized) json["quantization_config"] = {{"quant_method", hf::kQuantMethod}, {"block_size", kWeightBlock}};
  return json.dump(2) + "\n";
}

}  // namespace radlads
