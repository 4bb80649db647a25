// What the reader and the writer of config.json agree on.
#ifndef RADLADS_MODEL_CHECKPOINT_HF_CONFIG_KEYS_H_
#define RADLADS_MODEL_CHECKPOINT_HF_CONFIG_KEYS_H_

#include <string>
#include <string_view>

namespace radlads::hf {

struct Architecture {
  std::string_view model_type, class_name, tmix;
  // Defaults of the modelling code.
  bool attention_bias, qk_norm;
  int gate_rank_type;   // students
  bool use_tokenshift;  // students
};

inline constexpr Architecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", false, false, 0, false},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", true, false, 0, false},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", false, true, 0, false},
    {"rwkv6qwen2", "RWKV6Qwen2ForCausalLM", "rad_rwkv6", true, false, 1, true},
    {"rwkv7qwen2", "RWKV7Qwen2ForCausalLM", "rad_rwkv7", true, false, 2, false},
};

// Keys of our own, for what Hugging Face has none.
inline constexpr char kTmix[] = "tmix";  // when model_type does not say it: softmax first, student second
inline constexpr char kTmix2[] = "tmix2";
inline constexpr char kInvOtherLayerRatio[] = "inv_other_layer_ratio";
inline constexpr char kQkNorm[] = "qk_norm";
inline constexpr char kVocabPaddingIdx[] = "vocab_padding_idx";
inline constexpr char kRopeRescale[] = "rescale";  // inside rope_scaling

// "quant_method" in quantization_config, for weights as docs/formats/quantized.md has them. Other software knows none of this
// name and refuses the model.
inline constexpr char kQuantMethod[] = "radlads";

inline bool IsStudent(std::string_view tmix) {
  return tmix == "rad_rwkv6" || tmix == "rad_rwkv7" || tmix == "qwerky6" || tmix == "qwerky7";
}
inline bool IsRwkv7(std::string_view tmix) { return tmix == "rad_rwkv7" || tmix == "qwerky7"; }

}  // namespace radlads::hf

#endif  // RADLADS_MODEL_CHECKPOINT_HF_CONFIG_KEYS_H_
