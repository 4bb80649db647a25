// Which mixers each layer of a model uses.
#ifndef RADLADS_MODEL_LAYER_PLAN_H_
#define RADLADS_MODEL_LAYER_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/config.pb.h"

namespace radlads {

struct LayerPlan {
  int64_t layer = 0;
  std::string time_mixer;
  std::string channel_mixer;
  // Whether this is the first layer of the model that uses its time mixer. The first RAD-RWKV7 layer provides v_first.
  bool first_of_kind = false;
};

// The plan of RADLADS: layers from n_layer - preserve_last_n_layers on keep softmax attention (tmix2 if that is one,
// else "softmax"); of those before, the ones from floor(n_layer * (r - 1) / r) - preserve_last_n_layers on use
// tmix2 and cmix2 when r = inv_other_layer_ratio exceeds 1; the rest use tmix and cmix.
// INVALID_ARGUMENT for an unknown mixer or a ratio without tmix2.
absl::StatusOr<std::vector<LayerPlan>> PlanLayers(const ModelConfig& config);

// softmax, llama, qwen2, qwen3.
bool IsSoftmax(std::string_view time_mixer);

// Sizes and switches of a model after the defaults that depend on other fields.
struct ModelSizes {
  int64_t width = 0;       // C
  int64_t heads = 0;       // H
  int64_t kv_heads = 0;    // KV
  int64_t head_dim = 0;    // K = V = D
  int64_t attention = 0;   // A = H * D
  int64_t feed_forward = 0;
  bool attention_bias = false;
  bool qk_norm = false;
  // Ranks of the low-rank projections of RAD-RWKV (kernels of RADLADS: max(1, round(C^e m / 32)) * 32).
  int64_t rank_tokenshift = 0, rank_decay = 0, rank_iclr = 0, rank_value = 0, rank_gate = 0;
};

// INVALID_ARGUMENT, all problems at once, when sizes are missing, negative or do not divide.
absl::StatusOr<ModelSizes> ResolveSizes(const ModelConfig& config);

// `config` with every size that ResolveSizes derived written out, so that what is stored beside the weights says what
// they are and not how to derive it.
ModelConfig WithSizes(const ModelConfig& config, const ModelSizes& sizes);

}  // namespace radlads

#endif  // RADLADS_MODEL_LAYER_PLAN_H_
