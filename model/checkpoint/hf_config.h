// config.json of Hugging Face, both ways: llama, qwen2, qwen3, rwkv6qwen2 (RAD-RWKV6) and rwkv7qwen2 (RAD-RWKV7).
// docs/formats/hf_config.md has the table of keys.
#ifndef RADLADS_MODEL_CHECKPOINT_HF_CONFIG_H_
#define RADLADS_MODEL_CHECKPOINT_HF_CONFIG_H_

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "configs/config.pb.h"

namespace radlads {

// The architecture that `text` describes; `file_name` is for messages. The fields it decides are all set, those of
// training (ctx_len, init, reinit_att) are not touched.
//   - Both spellings: rope_theta + rope_scaling {type | rope_type} (transformers 4) and rope_parameters (5).
//   - What a file leaves out gets the default of the published modelling code, not ours (a student without
//     balance_state, groupnorm_att or use_rope has true, false, false). rope_theta and the LoRA ranks in use have no
//     safe default: a file without them is refused.
//   - eos_token_id may be a list; its first entry counts here (generation_config.json keeps the others).
//   - A student whose num_attention_layers is n has preserve_last_n_layers = n; the softmax mixer of these layers is
//     "tmix2" when the file says so, else follows from attention_bias (qwen2) and qk_norm (qwen3), else llama.
// INVALID_ARGUMENT for what is missing or malformed, UNIMPLEMENTED (by name, with what is known) for models, activations,
// scalings, windows, output biases and ways to quantise that are not supported.
absl::StatusOr<ModelConfig> ModelConfigFromJson(const std::string& text, const std::string& file_name);

// The text of a config.json that transformers (4 and 5) and ModelConfigFromJson read, in the older spelling. Sizes
// that are 0 are written as what they stand for; the LoRA ranks in use must be resolved, since readers would derive
// others than we do. What Hugging Face has no key for (a hybrid's tmix2, inv_other_layer_ratio, ...) is written
// under our own name, and only where it departs from what a reader would assume.
// `quantized` says that some weights are in blocks (quantized.h): other readers then refuse the model and say why.
std::string ModelConfigToJson(const ModelConfig& config, at::ScalarType dtype, bool quantized = false);

// The "dtype" or "torch_dtype" of a config.json; nullopt if it has none.
absl::StatusOr<std::optional<at::ScalarType>> DtypeFromJson(const std::string& text, const std::string& file_name);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_HF_CONFIG_H_
